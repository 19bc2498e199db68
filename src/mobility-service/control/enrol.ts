/**
 * Makes this a machine of a site: `mobility-service enrol`. Run by a person, as root, before the service starts, or when it was
 * told that it is a copy of another machine.
 *
 *     enrol ──▶ done: a new machine, or the one that it was
 *          └──▶ MachineCopied ──▶ <state>/* moved to <state>/of-another-machine-<time>/ ──▶ enrol with a new id
 *
 * What is moved away is the other machine's: its key and certificate, its generation, its change maps. It is kept, since the
 * person may have meant `--replace`.
 */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pause, systemClock } from '../../platform/clock.ts';
import { hasCode } from '../../platform/errors.ts';
import { systemFiles } from '../../platform/files.ts';
import { systemRandom } from '../../platform/random.ts';
import {
  agentUrl,
  type EnrolledAgent,
  enrolAgent,
  readEnrolmentKey,
} from '../../protocol/control/agent-client.ts';
import { enrolLookMilliseconds, enrolMillisecondsMax } from '../limits.ts';
import { readMachineIdentity } from './machine-identity.ts';
import { siteFolder } from './site.ts';

export interface EnrolOptions {
  readonly state: string;
  readonly runtime: string;
  readonly machineRoot: string;
  readonly keyFile: string;
  /** Host, or host and port, instead of the addresses that the key names. */
  readonly server: string | undefined;
  /** This machine takes the place of the one whose state it has. */
  readonly replace: boolean;
  /** For the person who waits. */
  readonly say: (text: string) => void;
}

const archivePrefix = 'of-another-machine-';

export async function enrol(options: EnrolOptions): Promise<EnrolledAgent> {
  const { state, runtime, machineRoot, keyFile, server, replace, say } = options;
  const key = readEnrolmentKey(await readFile(keyFile, 'utf8'), keyFile);
  const surroundings = { files: systemFiles, clock: systemClock, random: systemRandom };
  const identity = await readMachineIdentity({ root: machineRoot, runtime, ...surroundings });
  const attempt = () =>
    enrolAgent(
      {
        folder: siteFolder(state),
        role: 'mobility-service',
        name: hostname(),
        key,
        url: server === undefined ? undefined : agentUrl(server),
        hosts: [],
        identity,
        replace,
      },
      surroundings,
    );
  const until = systemClock.monotonic() + enrolMillisecondsMax;
  for (let isFirst = true; ; isFirst = false)
    try {
      return await attempt();
    } catch (error) {
      if (hasCode(error, 'MachineStillLive') && systemClock.monotonic() < until) {
        // Another run of this machine may just have ended, or this is a copy of one that is running.
        if (isFirst) say(`${(error as Error).message}; waiting until this is settled, at most two minutes`);
        await pause(systemClock, enrolLookMilliseconds, new AbortController().signal);
        continue;
      }
      if (!hasCode(error, 'MachineCopied')) throw error;
      say(`${(error as Error).message}; it becomes a machine of its own`);
      say(`what it had of the other machine is kept in ${await setAside(state)}`);
      return attempt();
    }
}

/** Everything that the other machine left here, but what was set aside before. Safe to repeat: the identity goes last. */
async function setAside(state: string): Promise<string> {
  const now = new Date(systemClock.now()).toISOString().replace(/[:.]/g, '-');
  const archive = join(state, `${archivePrefix}${now}`);
  await systemFiles.makeFolder(archive);
  const names = (await systemFiles.list(state)).filter((name) => !name.startsWith(archivePrefix));
  for (const name of names.sort((one, other) => Number(one === 'site') - Number(other === 'site')))
    await systemFiles.rename(join(state, name), join(archive, name));
  await systemFiles.syncDirectory(archive);
  await systemFiles.syncDirectory(state);
  return archive;
}
