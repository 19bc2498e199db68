/**
 * Who this configuration server is, in its data folder: its keys, its registration with a vault, its own authority.
 *
 *     <data>/site.json        registration: vault, fabric, URL (last: a folder with it is registered)
 *     <data>/vault-tls/       client certificate from the vault's authority, renewed in its last third
 *     <data>/box.key          opens item keys that the vault seals to this site      (never leaves this folder)
 *     <data>/master.key       seals item keys in the database                        (never leaves this folder)
 *     <data>/authority/       the site's own authority: process servers, machines, this server's HTTPS
 *     <data>/enrolment.json   what agents enrol with
 *
 * Two authorities, on purpose. The vault's signs who may reach the vault: this server and, through it, process servers
 * towards cache storage. The site's signs who may speak to whom inside the site, so machines enrol and renew while the
 * vault cannot be reached, and no site can make a certificate that another site or the vault would believe.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type BoxKeys, boxKeysOf, makeBoxKeys } from '../../platform/box.ts';
import {
  certificateEnds,
  certificateFiles,
  keepCertificate,
  makeRequest,
} from '../../platform/certificate-request.ts';
import { type Clock, until } from '../../platform/clock.ts';
import { hasCode } from '../../platform/errors.ts';
import { type Files, readWhole, writeDurably } from '../../platform/files.ts';
import { holdFolder } from '../../platform/hold-folder.ts';
import { JsonClient } from '../../platform/https-json.ts';
import type { Random } from '../../platform/random.ts';
import { masterKeyBytes } from '../../platform/seal.ts';
import { parseJson } from '../../platform/settings.ts';
import { type Authority, issueAuthority, issueCertificate, type TlsFilePaths } from '../../platform/tls.ts';
import { EnrolmentKey } from '../../protocol/control/agent-link.ts';
import {
  clockDifferenceMillisecondsMax,
  RegisterAnswer,
  type RegisterRequest,
  siteLinkPaths,
} from '../../protocol/control/site-link.ts';
import { readVaultCredentials, vaultCredentialsErrors } from '../../protocol/control/vault-credentials.ts';
import { errors } from '../errors.ts';
import { agentCertificateDays, callMilliseconds, renewDays, vaultAnswerBytesMax } from '../limits.ts';

export const Registered = z.strictObject({
  format: z.literal('leeward-site/1'),
  siteId: z.guid(),
  vaultId: z.string(),
  fabricName: z.string(),
  url: z.url(),
  reportSeconds: z.number().positive(),
  registeredAt: z.iso.datetime(),
});
export type Registered = z.infer<typeof Registered>;

export interface IdentityParts {
  readonly dataFolder: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
}

export const serverVersion = '0.1.0';
const dayMilliseconds = 86_400_000;
/** Its holder runs openssl once, which has a minute. */
const aloneMilliseconds = 90_000;

export class Identity {
  readonly #parts: IdentityParts;

  constructor(parts: IdentityParts) {
    this.#parts = parts;
  }

  at(...names: string[]): string {
    return join(this.#parts.dataFolder, ...names);
  }

  async registered(): Promise<Registered | undefined> {
    const bytes = await readWhole(this.#parts.files, this.at('site.json'), 64 << 10);
    return bytes && parseJson(Registered, bytes.toString(), this.at('site.json'));
  }

  /**
   * Registers with the key in a file. Safe to repeat after it broke off at any moment: the certificate request is the same
   * each time, and the vault answers the same public key again.
   */
  async register(keyFileText: string, hostName: string): Promise<Registered> {
    const { clock, files, dataFolder, random } = this.#parts;
    const before = await this.registered();
    if (before) throw errors.AlreadyRegistered(before.vaultId, before.fabricName);
    const { token, claims } = readVaultCredentials(keyFileText);
    const now = new Date(clock.now()).toISOString();
    if (Date.parse(claims.expiresAt) <= clock.now())
      throw vaultCredentialsErrors.RegistrationKeyExpired(claims.expiresAt, now);
    await files.makeFolder(dataFolder);
    const request: RegisterRequest = {
      token,
      registrationId: random.uuid(),
      requestPem: await makeRequest(this.at('vault-tls')),
      boxPublicKey: (await this.boxKeys()).publicKey.toString('base64'),
      hostName,
      version: serverVersion,
      at: now,
    };
    using client = new JsonClient({
      url: claims.url,
      ca: claims.caPem,
      clock,
      answerBytesMax: vaultAnswerBytesMax,
    });
    const answer = await client.call({
      method: 'POST',
      path: siteLinkPaths.register,
      body: request,
      answer: RegisterAnswer,
      timeoutMilliseconds: callMilliseconds,
    });
    await keepCertificate(this.at('vault-tls'), answer.certificatePem, answer.caPem);
    const registered: Registered = {
      format: 'leeward-site/1',
      siteId: answer.siteId,
      vaultId: answer.vaultId,
      fabricName: answer.fabricName,
      url: claims.url,
      reportSeconds: answer.reportSeconds,
      registeredAt: answer.at,
    };
    await writeDurably(files, this.at('site.json'), Buffer.from(`${JSON.stringify(registered, null, 2)}\n`));
    return registered;
  }

  /** Lets go of an earlier registration, for a new one: its fabric was removed at the vault, or this is another vault's now. */
  async forgetRegistration(): Promise<void> {
    await this.#parts.files.remove(this.at('site.json'));
    await this.#parts.files.removeTree(this.at('vault-tls'));
  }

  /** A client that shows this site's certificate. */
  async vaultClient(registered: Registered): Promise<JsonClient> {
    const paths = certificateFiles(this.at('vault-tls'));
    const text = (path: string) => readFile(path, 'utf8');
    return new JsonClient({
      url: registered.url,
      ca: await text(paths.caFile),
      certificate: { cert: await text(paths.certificateFile), key: await text(paths.keyFile) },
      clock: this.#parts.clock,
      answerBytesMax: vaultAnswerBytesMax,
    });
  }

  async boxKeys(): Promise<BoxKeys> {
    const kept = await readWhole(this.#parts.files, this.at('box.key'), 1024);
    if (kept) return boxKeysOf(kept);
    const keys = makeBoxKeys(this.#parts.random);
    await writeDurably(this.#parts.files, this.at('box.key'), keys.secretKey);
    return keys;
  }

  async masterKey(): Promise<Buffer> {
    const kept = await readWhole(this.#parts.files, this.at('master.key'), 1024);
    if (kept?.byteLength === masterKeyBytes) return kept;
    const key = this.#parts.random.bytes(masterKeyBytes);
    await writeDurably(this.#parts.files, this.at('master.key'), key);
    return key;
  }

  /** Made at the first question. */
  async authority(): Promise<Authority> {
    const issue = () => issueAuthority(this.at('authority'), 'Leeward site authority');
    // Its certificate is written last.
    const isWhole = (await this.#parts.files.sizeBytes(this.at('authority', 'ca.pem'))) !== undefined;
    return isWhole ? issue() : this.#alone(issue);
  }

  /** This server's own certificate; made anew when it is in its last third, or for other hosts. */
  async serverCertificate(hosts: readonly string[]): Promise<TlsFilePaths> {
    const { files, clock } = this.#parts;
    const folder = this.at('tls');
    const ends = await certificateEnds(folder);
    const known = (await readWhole(files, join(folder, 'hosts'), 8192))?.toString();
    const names = hosts.join('\n');
    if (ends !== undefined && ends - clock.now() > renewDays * dayMilliseconds && known === names)
      return certificateFiles(folder);
    const paths = await issueCertificate({
      folder,
      authority: await this.authority(),
      commonName: 'configuration-server',
      hosts,
      days: agentCertificateDays,
      usage: 'server',
      random: this.#parts.random,
    });
    await writeDurably(files, join(folder, 'hosts'), Buffer.from(names));
    return paths;
  }

  /** What agents enrol with; made at the first question, anew when hosts or port are others. The secret stays. */
  async enrolmentKey(hosts: readonly string[], port: number): Promise<EnrolmentKey> {
    const { files, random } = this.#parts;
    const path = this.at('enrolment.json');
    const caPem = (await readFile((await this.authority()).caFile, 'utf8')).trim();
    return this.#alone(async () => {
      const bytes = await readWhole(files, path, 64 << 10);
      const before = bytes && parseJson(EnrolmentKey, bytes.toString(), path);
      // Any free port: the running server has written down which one it got.
      if (port === 0 && before) return before;
      const key: EnrolmentKey = {
        format: 'leeward-enrolment/1',
        urls: hosts.map((host) => `https://${host.includes(':') ? `[${host}]` : host}:${port}`),
        caPem,
        secret: before?.secret ?? random.bytes(32).toString('base64url'),
      };
      if (JSON.stringify(before) !== JSON.stringify(key))
        await writeDurably(files, path, Buffer.from(`${JSON.stringify(key, null, 2)}\n`));
      return key;
    });
  }

  /**
   * A server that has just been started and `configuration-server enrolment-key` ask for the same things first: one process
   * makes them and the other one waits. Else each would have its own, and nobody could enrol.
   */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const { files, clock } = this.#parts;
    const folder = this.at('authority');
    await files.makeFolder(folder);
    let held: unknown;
    await using _ = await until(
      clock,
      aloneMilliseconds,
      () =>
        holdFolder(folder).catch((error: unknown) => {
          if (!hasCode(error, 'FolderHeld')) throw error;
          held = error;
          return undefined;
        }),
      () => held as Error,
    );
    return await work();
  }

  /** Whether two clocks are too far apart; `theirs` is an ISO moment. */
  isClockOff(theirs: string): boolean {
    return Math.abs(Date.parse(theirs) - this.#parts.clock.now()) > clockDifferenceMillisecondsMax;
  }
}
