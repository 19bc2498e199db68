/**
 * Goal: the tree keeps its shape. The import table and the `platform` rule of docs/ARCHITECTURE.md are enforced here, and
 * each failure says why the rule exists and what to do instead.
 * Method: read every source file as text, look at its imports and at a few banned calls.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '');
const sources = tracked.filter((path) => path.endsWith('.ts'));
const text = (path: string) => readFileSync(join(root, path), 'utf8');

/** Places never import one another; they meet only in `protocol/`. Value: folder prefixes that may be imported. */
const importTable: Record<string, { readonly may: readonly string[]; readonly because: string }> = {
  platform: {
    may: ['platform'],
    because: 'platform knows nothing of ours, so that everything can stand on it',
  },
  model: { may: ['model'], because: 'nouns and state tables are pure: no input or output, no clock' },
  disk: { may: ['disk', 'model', 'platform'], because: 'a disk does not know who reads it' },
  fabric: {
    may: ['fabric', 'model', 'platform'],
    because: "other people's infrastructure is spoken of in our nouns only",
  },
  protocol: {
    may: ['protocol', 'model', 'platform'],
    because: 'both ends of a link stand on it, so it may stand on neither',
  },
  'mobility-service': {
    may: ['mobility-service', 'model', 'protocol/replication', 'protocol/control', 'disk', 'platform'],
    because: "it is shipped to customers' machines and stays small",
  },
  'process-server': {
    may: ['process-server', 'model', 'protocol', 'platform'],
    because: 'it is direction-blind: whatever it knew of a vault or a disk would make it one-way',
  },
  'master-target': {
    may: ['master-target', 'model', 'protocol/replication', 'protocol/control', 'disk', 'platform', 'fabric'],
    because: 'it writes disks and nothing else',
  },
  'configuration-server': {
    may: ['configuration-server', 'model', 'protocol/control', 'protocol/arm', 'fabric', 'platform'],
    because: 'it manages the site and never touches data',
  },
  vault: {
    may: ['vault', 'model', 'protocol', 'disk', 'fabric', 'platform'],
    because: 'the recovery site must live when the site is gone',
  },
  cli: {
    may: ['cli', 'protocol', 'model', 'platform'],
    because: 'whatever the command line can do, the API must be able to do',
  },
  console: {
    may: ['console', 'protocol', 'model', 'platform'],
    because: 'it shows what the daemons say, it does not reach into them',
  },
};

/** A third-party package is imported from the named folders only. */
const packageHomes: Record<string, readonly string[]> = {
  '@azure/storage-blob': ['src/protocol/cache', 'test/', 'bench/'],
  execa: ['test/', 'tools/', 'bench/'],
  jose: ['src/vault/access', 'test/'],
  koa: ['src/platform', 'src/vault/api', 'src/vault/cache'],
  mysql2: ['src/platform', 'src/vault/store'],
  'node-cron': ['src/platform'],
  nodemailer: ['src/vault/notify'],
  pino: ['src/platform'],
  systeminformation: ['src/platform', 'src/process-server'],
  tweetnacl: ['src/platform'],
  commander: ['src/cli', 'src/bin'],
  zod: ['src/'],
  ava: ['test/'],
  'fast-check': ['test/'],
  esbuild: ['tools/', 'test/appliance'],
};

/** What only `platform` may touch, so that the simulation can replace it. Leaf adapters to real devices are listed. */
const banned: readonly {
  readonly pattern: RegExp;
  readonly instead: string;
  readonly except: readonly string[];
}[] = [
  {
    pattern: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/,
    instead: 'take a Clock (platform/clock.ts)',
    except: [],
  },
  {
    pattern: /\b(setTimeout|setInterval)\(|timers\/promises/,
    instead: 'take a Clock (platform/clock.ts)',
    except: [],
  },
  {
    pattern: /\bMath\.random\(|\brandomUUID\(|\brandomBytes\(/,
    instead: 'take a Random (platform/random.ts)',
    except: [],
  },
  {
    pattern: /\bprocess\.env\b/,
    instead: 'settings come from a settings file (platform/settings.ts)',
    // A person's session comes with the shell, as every command line's does.
    except: ['src/bin/leeward.ts'],
  },
  {
    pattern: /\bconsole\.(log|error|warn|info)\(/,
    instead: 'log events (platform/log.ts)',
    except: ['src/cli/', 'src/bin/'],
  },
  {
    pattern: /from 'node:child_process'/,
    instead: 'platform/exec.ts',
    except: ['src/mobility-service/consistency/'],
  },
];

/** `import … from 'x'`, `export … from 'x'`, `import('x')`, and worker entries `new URL('./x.ts', import.meta.url)`. */
function importsOf(source: string): string[] {
  const found: string[] = [];
  for (const match of source.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s*'([^']+)'|(?:^|\n)\s*import\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|new URL\(\s*'([^']+\.ts)'/g,
  ))
    found.push((match[1] ?? match[2] ?? match[3] ?? match[4])!);
  return found;
}

const edges = sources.map((path) => {
  const imports = importsOf(text(path));
  return {
    path,
    ours: imports
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(root, join(root, dirname(path), name)))
      // The command line starts the vault's own main as another process; that is no import.
      .filter((target) => !(path === 'src/bin/leeward.ts' && target.startsWith('src/bin/'))),
    packages: imports
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
      .map((name) =>
        name
          .split('/')
          .slice(0, name.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
  };
});

test('every import under src keeps to the import table', (t) => {
  const wrong: string[] = [];
  for (const { path, ours } of edges) {
    const [top, place] = path.split('/');
    if (top !== 'src' || place === undefined || place === 'bin') continue;
    const rule = importTable[place];
    if (!rule) {
      wrong.push(
        `${path}: src/${place} is not in the import table; give it a row in docs/ARCHITECTURE.md and here`,
      );
      continue;
    }
    for (const target of ours) {
      const inside = target.startsWith('src/') ? target.slice('src/'.length) : `../${target}`;
      if (!rule.may.some((prefix) => inside.startsWith(`${prefix}/`)))
        wrong.push(
          `${path} imports ${target}: ${place} may import ${rule.may.join(', ')}, because ${rule.because}`,
        );
    }
  }
  t.deepEqual(wrong, []);
});

test('a main imports one house and what all houses share', (t) => {
  const shared = ['platform', 'model', 'protocol', 'disk'];
  for (const { path, ours } of edges.filter(({ path }) => path.startsWith('src/bin/'))) {
    const houses = new Set(
      ours
        .filter((target) => target.startsWith('src/'))
        .map((target) => target.split('/')[1]!)
        .filter((place) => !shared.includes(place)),
    );
    t.true(
      houses.size <= 1,
      `${path} imports ${[...houses].join(' and ')}: a process is one house, in one place`,
    );
  }
});

test('a third-party package is imported from its home only', (t) => {
  const wrong: string[] = [];
  for (const { path, packages } of edges)
    for (const name of packages) {
      const homes = packageHomes[name];
      if (homes === undefined) {
        if (path.startsWith('src/'))
          wrong.push(`${path} imports ${name}, which has no home in test/tidy.test.ts`);
      } else if (path.startsWith('src/') && !homes.some((home) => path.startsWith(home)))
        wrong.push(
          `${path} imports ${name}: only ${homes.join(', ')} may, so that it can be replaced in one place`,
        );
    }
  t.deepEqual(wrong, []);
});

test('the mobility service never pulls in a server framework', (t) => {
  const byPath = new Map(edges.map((edge) => [edge.path, edge]));
  const seen = new Set<string>();
  const queue = ['src/bin/mobility-service.ts'].filter((path) => byPath.has(path));
  const forbidden = new Set(['koa', 'mysql2', 'ssh2', '@azure/storage-blob']);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const edge = byPath.get(path);
    for (const name of edge?.packages ?? [])
      t.false(forbidden.has(name), `${path} imports ${name}: it is shipped to customers' machines`);
    queue.push(...(edge?.ours ?? []));
  }
  t.pass();
});

test('clocks, randomness, environment and child processes are reached through platform', (t) => {
  const wrong: string[] = [];
  for (const path of sources) {
    if (!path.startsWith('src/') || path.startsWith('src/platform/')) continue;
    for (const [index, line] of text(path).split('\n').entries()) {
      if (/^\s*(\*|\/\/|\/\*)/.test(line)) continue;
      for (const { pattern, instead, except } of banned)
        if (pattern.test(line) && !except.some((prefix) => path.startsWith(prefix)))
          wrong.push(
            `${path}:${index + 1} ${line.trim()} → ${instead}, so that the simulation can replace it`,
          );
    }
  }
  t.deepEqual(wrong, []);
});

test('imports form no cycles', (t) => {
  const graph = new Map(
    edges.filter(({ path }) => path.startsWith('src/')).map(({ path, ours }) => [path, ours]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
      return;
    }
    state.set(path, 'open');
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  t.deepEqual(cycles, []);
});

test('every source file opens with what it is for', (t) => {
  const wrong = sources.filter(
    (path) => path.startsWith('src/') && !/^(#![^\n]*\n)?(\/\*\*|\/\*|\/\/)/.test(text(path)),
  );
  t.deepEqual(
    wrong,
    [],
    'a file opens with what this room does, where the byte comes from and where it goes',
  );
});

test('no file leaves a FIXME, a barrel, an enum or a default export behind', (t) => {
  const wrong: string[] = [];
  for (const path of sources.filter((path) => path.startsWith('src/'))) {
    const content = text(path);
    if (/\bFIXME\b|\bXXX\b/.test(content)) wrong.push(`${path}: FIXME`);
    if (/^export \* from/m.test(content)) wrong.push(`${path}: a barrel hides where things live`);
    if (/^export default/m.test(content)) wrong.push(`${path}: named exports only`);
    if (/^(export )?(const )?enum /m.test(content)) wrong.push(`${path}: enums need a build step`);
    if (path.endsWith('/index.ts')) wrong.push(`${path}: no index files`);
  }
  t.deepEqual(wrong, []);
});

test('names say what a thing is', (t) => {
  const wrong = tracked.filter((path) =>
    /(^|\/)(helpers?|misc|common)\.ts$|(manager|utils?|factory)\.ts$/.test(path),
  );
  t.deepEqual(wrong, [], 'a newcomer finds nothing behind such names');
  const notKebab = sources.filter((path) => /[A-Z_]/.test(path));
  t.deepEqual(notKebab, []);
});

test('nothing in the tree names a private path or a package registry', (t) => {
  const wrong = tracked.filter(
    (path) =>
      !/package-lock\.json$|go\.sum$/.test(path) &&
      !path.startsWith('test/golden/') &&
      /\/work\/|\/tmp\/bash_jobs|https?:\/\/([a-z]+\.)*(npmjs|golang|debian|pypi)\.[a-z]+/.test(
        path === 'test/tidy.test.ts' ? '' : text(path),
      ),
  );
  t.deepEqual(wrong, []);
});

test('every format document has golden files', (t) => {
  const documents = tracked.filter((path) => /^docs\/formats\/[a-z-]+\.md$/.test(path));
  for (const path of documents) {
    const name = path.slice('docs/formats/'.length, -'.md'.length);
    if (/not a byte format/i.test(text(path))) continue;
    t.true(
      tracked.some((file) => file.startsWith(`test/golden/${name}`)),
      `${path} has no test/golden/${name}*: bytes that were once written must be readable for ever`,
    );
  }
  t.pass();
});
