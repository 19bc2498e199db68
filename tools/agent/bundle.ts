/**
 * Bundles the mobility service into one plain JavaScript file. What it contains is judged from esbuild's own account: it is
 * shipped to customers' machines, so servers, databases and remote logins have no place in it.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

const root = join(import.meta.dirname, '../..');

/** Packages that must never reach a protected machine, and why. */
const forbidden: Readonly<Record<string, string>> = {
  koa: 'the service only dials out',
  mysql2: 'its hooks use the machine’s own client',
  ssh2: 'nobody logs in through it',
  '@azure/storage-blob': 'only the process server speaks to cache storage',
};

export interface Bundle {
  readonly bytes: number;
  /** Third-party packages inside, sorted. */
  readonly packages: readonly string[];
  /** Our own files inside, sorted. */
  readonly sources: readonly string[];
}

export async function bundleAgent(entry: string, outputPath: string): Promise<Bundle> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: outputPath,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    write: false,
    metafile: true,
    legalComments: 'inline',
    // Names stay: stack traces from a customer's machine must be readable.
    minifyWhitespace: true,
    keepNames: true,
    logLevel: 'warning',
    plugins: [englishOnly],
    // CommonJS packages inside call `require` for Node's own modules; pino also asks for its folder.
    banner: {
      js: [
        "import { createRequire as leewardRequire } from 'node:module';",
        "import { dirname as leewardDirname } from 'node:path';",
        'const require = leewardRequire(import.meta.url);',
        'const __filename = import.meta.filename;',
        'const __dirname = leewardDirname(__filename);',
      ].join('\n'),
    },
  });
  const output = Object.values(result.metafile.outputs)[0]!;
  const inputs = Object.keys(output.inputs);
  const packages = [...new Set(inputs.map(packageOf).filter((name) => name !== undefined))].sort();
  for (const name of packages)
    if (forbidden[name]) throw new Error(`${name} must not be in the mobility service: ${forbidden[name]}`);
  const file = result.outputFiles[0]!;
  await writeFile(outputPath, file.contents);
  return {
    bytes: file.contents.byteLength,
    packages,
    sources: inputs.filter((path) => packageOf(path) === undefined).sort(),
  };
}

/** Zod carries its messages in some sixty languages and reaches all of them by name, so that no tree is shaken: 300 kB of
 * program, 3 MB resident. What is told to people here is English. */
const englishOnly: Plugin = {
  name: 'english-only',
  setup: (to) => {
    to.onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
      loader: 'js',
    }));
  },
};

function packageOf(path: string): string | undefined {
  const parts = path.split('node_modules/').at(-1)!.split('/');
  if (!path.includes('node_modules/')) return undefined;
  return parts[0]!.startsWith('@') ? `${parts[0]}/${parts[1]}` : parts[0];
}
