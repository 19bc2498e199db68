/** Azurite, the public emulator of Azure Storage, for one test file: on a port of its own, with a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlobServiceClient } from '@azure/storage-blob';
import { execa } from 'execa';

export interface Azurite {
  readonly connectionString: string;
  makeContainer(name: string): Promise<void>;
  close(): Promise<void>;
}

export async function startAzurite(): Promise<Azurite> {
  const folder = await mkdtemp(join(tmpdir(), 'leeward-azurite-'));
  const program = join(import.meta.dirname, '../../node_modules/azurite/dist/src/blob/main.js');
  // Port 0 lets the system choose; what was chosen is in its greeting.
  const azurite = execa(
    process.execPath,
    [
      ...[program, '--location', folder, '--blobHost', '127.0.0.1', '--blobPort', '0'],
      ...['--silent', '--skipApiVersionCheck', '--disableTelemetry'],
    ],
    { reject: false, forceKillAfterDelay: 2000, timeout: 900_000 },
  );
  let greeting = '';
  const port = await new Promise<number>((resolve, reject) => {
    azurite.stdout?.on('data', (piece: Buffer) => {
      greeting += piece.toString();
      const found = /successfully listens on http:\/\/127\.0\.0\.1:(\d+)/i.exec(greeting);
      if (found) resolve(Number(found[1]));
    });
    void azurite.then(() => reject(new Error(`Azurite ended: ${greeting}`)));
  });
  // The emulator's well-known account, published in its documentation.
  const account = 'devstoreaccount1';
  const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key};BlobEndpoint=http://127.0.0.1:${port}/${account};`;
  return {
    connectionString,
    makeContainer: async (name) => {
      await BlobServiceClient.fromConnectionString(connectionString).getContainerClient(name).create();
    },
    close: async () => {
      azurite.kill('SIGTERM');
      await azurite;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
