/** Makes this a machine of a site: `mobility-service enrol`. Run by a person, as root, before the service starts. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { systemClock } from '../../platform/clock.ts';
import { systemFiles } from '../../platform/files.ts';
import { systemRandom } from '../../platform/random.ts';
import {
  agentUrl,
  type EnrolledAgent,
  enrolAgent,
  readEnrolmentKey,
} from '../../protocol/control/agent-client.ts';
import { siteFolder } from './site.ts';

/** @param server host, or host and port, instead of the addresses that the key names */
export async function enrol(
  state: string,
  keyFile: string,
  server: string | undefined,
): Promise<EnrolledAgent> {
  const key = readEnrolmentKey(await readFile(keyFile, 'utf8'), keyFile);
  return enrolAgent(
    {
      folder: siteFolder(state),
      role: 'mobility-service',
      name: hostname(),
      key,
      url: server === undefined ? undefined : agentUrl(server),
      hosts: [],
    },
    { files: systemFiles, clock: systemClock, random: systemRandom },
  );
}
