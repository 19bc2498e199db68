/**
 * The command line's end of the vault's admin socket. Knows HTTP and the lines of long work; knows no vault.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { z } from 'zod';
import { hasCode, LeewardError } from '../platform/errors.ts';
import { parse, parseJson } from '../platform/settings.ts';
import { AdminError, AdminLine, adminSocketName } from '../protocol/control/vault-admin.ts';

/** A vault that says nothing for so long hangs; verifying reports at least every few seconds. */
const silenceMilliseconds = 120_000;

export interface AdminClient {
  call<T extends z.ZodType>(
    schema: T,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    onProgress?: (text: string, fraction: number | undefined) => void,
  ): Promise<z.infer<T>>;
}

export function adminClient(dataFolder: string): AdminClient {
  return {
    call: async (schema, method, path, body, onProgress) =>
      parse(
        schema,
        await ask(join(dataFolder, adminSocketName), method, path, body, onProgress),
        'the vault’s answer',
      ),
  };
}

function ask(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
  onProgress: ((text: string, fraction: number | undefined) => void) | undefined,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath,
        method,
        path,
        headers: { 'content-type': 'application/json' },
        timeout: silenceMilliseconds,
      },
      (response) => {
        let isAnswered = false;
        // Readline repeats its input's errors; a broken answer is told by the close that follows.
        const lines = createInterface({ input: response }).on('error', () => {});
        lines.on('line', (text) => {
          if (text.trim() === '' || isAnswered) return;
          try {
            const line = parseJson(AdminLine, text, 'a line of the vault’s answer');
            if (line.kind === 'progress') onProgress?.(line.text, line.fraction);
            else {
              isAnswered = true;
              if (line.kind === 'result') resolve(line.value);
              else reject(refusal(AdminError.parse(line.error)));
            }
          } catch (error) {
            isAnswered = true;
            reject(error);
          }
        });
        lines.once('close', () => {
          if (!isAnswered) reject(silent('it hung up in the middle of its answer', undefined));
        });
      },
    );
    outgoing.once('timeout', () => outgoing.destroy(silent('it says nothing', undefined)));
    outgoing.once('error', (error) =>
      reject(error instanceof LeewardError ? error : unreachable(socketPath, error)),
    );
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function refusal({ because, ...fields }: AdminError): LeewardError {
  const cause = because.reduceRight<Error | undefined>(
    (under, message) => new Error(message, under ? { cause: under } : {}),
    undefined,
  );
  return new LeewardError({ ...fields, cause });
}

function silent(how: string, cause: unknown): LeewardError {
  return new LeewardError({
    code: 'VaultSilent',
    summary: `the vault does not answer: ${how}`,
    possibleCauses: 'It was stopped, or it hangs on a disk.',
    recommendedAction: 'Look at the vault’s log; start it again if it is gone, then repeat the command.',
    cause,
  });
}

function unreachable(socketPath: string, cause: unknown): LeewardError {
  const isDenied = hasCode(cause, 'EACCES', 'EPERM');
  return new LeewardError({
    code: 'VaultUnreachable',
    summary: `no vault answers at ${socketPath}`,
    possibleCauses: isDenied
      ? 'Only the vault’s own user may use this socket.'
      : 'The vault is not running, or its data folder is another one.',
    recommendedAction: isDenied
      ? 'Run the command as that user (root).'
      : 'Start it with `leeward vault run`, or name its folder with --data.',
    context: { socketPath },
    cause,
  });
}
