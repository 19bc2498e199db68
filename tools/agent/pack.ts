/**
 * `make agent`: packs the mobility service for protected machines, as one self-contained tar and one deb, under dist/.
 *
 *     src/bin/mobility-service.ts ─esbuild─▶ lib/mobility-service.mjs ┐
 *     the pinned Node, stripped ─────────────▶ bin/node               ├─▶ …-linux-x86_64.tar.gz (install.sh, uninstall.sh)
 *     thaw-helper.c ─gcc, static─────────────▶ bin/leeward-thaw       └─▶ …_amd64.deb
 *     write-brake.c ─gcc, static─────────────▶ bin/leeward-brake
 *     appliance/agent/ ──────────────────────▶ unit, start and install scripts
 *
 * The same tree gives the same bytes: names are sorted, owners are 0, and every time is SOURCE_DATE_EPOCH (the last
 * commit's when it is not set). Nothing is fetched here, and nothing is fetched at installation.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Bundle, bundleAgent } from './bundle.ts';
import { compileThawHelper } from './thaw-helper.ts';
import { compileWriteBrake } from './write-brake.ts';

const root = join(import.meta.dirname, '../..');
const from = join(root, 'appliance/agent');
const machines: Record<string, { readonly kernel: string; readonly debian: string }> = {
  x64: { kernel: 'x86_64', debian: 'amd64' },
  arm64: { kernel: 'aarch64', debian: 'arm64' },
};

export interface AgentPackages {
  readonly tar: string;
  readonly deb: string;
  readonly bundle: Bundle;
  readonly nodeBytes: number;
  readonly helperBytes: number;
}

export async function packAgent(
  options: { readonly entry?: string; readonly outputFolder?: string; readonly epochSeconds?: number } = {},
): Promise<AgentPackages> {
  const entry = options.entry ?? 'src/bin/mobility-service.ts';
  const outputFolder = options.outputFolder ?? join(root, 'dist');
  const epochSeconds = options.epochSeconds ?? sourceDate();
  const machine = machines[process.arch];
  if (!machine) throw new Error(`no agent can be packed on ${process.arch}`);
  const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string })
    .version;
  mkdirSync(outputFolder, { recursive: true });
  mkdirSync(join(root, '.cache'), { recursive: true });
  const work = mkdtempSync(join(root, '.cache/agent-'));
  try {
    const name = `leeward-mobility-service-${version}-linux-${machine.kernel}`;
    const tree = join(work, name);
    for (const folder of ['bin', 'lib', 'share']) mkdirSync(join(tree, folder), { recursive: true });
    const bundle = await bundleAgent(entry, join(tree, 'lib/mobility-service.mjs'));
    copyNode(join(tree, 'bin/node'));
    compileThawHelper(join(tree, 'bin/leeward-thaw'));
    compileWriteBrake(join(tree, 'bin/leeward-brake'));
    copyFileSync(join(from, 'leeward-mobility-service'), join(tree, 'bin/leeward-mobility-service'));
    for (const page of ['install-agent.md', 'application-consistency.md'])
      copyFileSync(join(root, 'docs/operations', page), join(tree, 'share', page));
    copyFileSync(join(root, 'LICENSE'), join(tree, 'share/LICENSE'));
    const nodeLicence = join(dirname(realpathSync(process.execPath)), '../LICENSE');
    if (existsSync(nodeLicence)) copyFileSync(nodeLicence, join(tree, 'share/LICENSE.node'));
    for (const file of ['install.sh', 'uninstall.sh', 'leeward-mobility.service'])
      copyFileSync(join(from, file), join(tree, file));
    writeFileSync(join(tree, 'VERSION'), `${version}\n`);
    writeFileSync(join(tree, 'ARCHITECTURE'), `${machine.kernel}\n`);
    setModes(tree);

    const tar = join(outputFolder, `${name}.tar.gz`);
    makeTar(work, name, tar, epochSeconds);
    const deb = join(outputFolder, `leeward-mobility-service_${version}_${machine.debian}.deb`);
    makeDeb(work, tree, deb, { version, architecture: machine.debian, epochSeconds });
    return {
      tar,
      deb,
      bundle,
      nodeBytes: statSync(join(tree, 'bin/node')).size,
      helperBytes: statSync(join(tree, 'bin/leeward-thaw')).size,
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function sourceDate(): number {
  const given = Number(process.env.SOURCE_DATE_EPOCH);
  if (Number.isSafeInteger(given) && given > 0) return given;
  const { stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  // Without git (an unpacked archive): the first day that both tar and deb take without a remark.
  return Number(stdout?.trim()) || 315_532_800;
}

/** Symbols and debug information are 18 MB that only a debugger reads; a build without `strip` is larger, not different. */
function copyNode(target: string): void {
  copyFileSync(realpathSync(process.execPath), target);
  chmodSync(target, 0o755);
  const draft = `${target}.stripped`;
  const { status } = spawnSync('strip', ['--strip-all', '-o', draft, target], { stdio: 'ignore' });
  const answer = status === 0 ? spawnSync(draft, ['-p', '6*7'], { encoding: 'utf8' }).stdout : '';
  if (answer.trim() === '42') renameSync(draft, target);
  else rmSync(draft, { force: true });
}

/** Not what this machine's umask happens to be. */
function setModes(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setModes(path);
    else chmodSync(path, path.endsWith('.sh') || folder.endsWith('/bin') ? 0o755 : 0o644);
  }
}

function makeTar(folder: string, name: string, target: string, epochSeconds: number): void {
  const flags = [
    '--sort=name',
    `--mtime=@${epochSeconds}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--format=gnu',
  ];
  // -n keeps name and time out of the gzip header.
  execFileSync('tar', [
    ...flags,
    '--use-compress-program=gzip -n',
    '-cf',
    `${target}.draft`,
    '-C',
    folder,
    name,
  ]);
  renameSync(`${target}.draft`, target);
}

function makeDeb(
  work: string,
  tree: string,
  target: string,
  facts: { readonly version: string; readonly architecture: string; readonly epochSeconds: number },
): void {
  const deb = join(work, 'deb');
  const home = join(deb, 'opt/leeward/mobility-service');
  mkdirSync(home, { recursive: true });
  for (const folder of ['bin', 'lib', 'share']) execFileSync('cp', ['-R', join(tree, folder), home]);
  copyFileSync(join(tree, 'VERSION'), join(home, 'VERSION'));
  mkdirSync(join(deb, 'lib/systemd/system'), { recursive: true });
  copyFileSync(
    join(tree, 'leeward-mobility.service'),
    join(deb, 'lib/systemd/system/leeward-mobility.service'),
  );
  mkdirSync(join(deb, 'etc/leeward/mobility-service'), { recursive: true });
  setModes(deb);
  chmodSync(join(deb, 'etc/leeward/mobility-service'), 0o700);
  const installedKibibytes = Math.ceil(
    Number(execFileSync('du', ['-sb', deb], { encoding: 'utf8' }).split('\t')[0]) / 1024,
  );
  mkdirSync(join(deb, 'DEBIAN'));
  for (const file of readdirSync(join(from, 'deb'))) {
    const text = readFileSync(join(from, 'deb', file), 'utf8')
      .replace('@VERSION@', facts.version)
      .replace('@ARCHITECTURE@', facts.architecture)
      .replace('@INSTALLED_SIZE@', String(installedKibibytes));
    writeFileSync(join(deb, 'DEBIAN', file), text);
    chmodSync(join(deb, 'DEBIAN', file), file === 'control' ? 0o644 : 0o755);
  }
  // gzip: Debian 10 and 11 do not read zstd, and xz takes a minute for a quarter less.
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', deb, `${target}.draft`], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(facts.epochSeconds) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(`${target}.draft`, target);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

if (import.meta.main) {
  const packed = await packAgent();
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  console.log(`program  ${mebibytes(packed.bundle.bytes)}, with ${packed.bundle.packages.join(', ')}`);
  console.log(
    `node     ${mebibytes(packed.nodeBytes)} of ${process.version}; thaw helper ${mebibytes(packed.helperBytes)}`,
  );
  for (const path of [packed.tar, packed.deb])
    console.log(`${path}  ${mebibytes(statSync(path).size)}  sha256 ${await sha256(path)}`);
}
