/**
 * An HTTPS listener of the site link's own, for tests and for a vault whose API listens elsewhere. Asks every caller for a
 * certificate of the vault's authority and lets those without one in: `register` is for them.
 */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { JsonHandler } from '../../platform/https-json.ts';
import type { MutualTlsOptions } from '../../platform/tls.ts';

/** A handshake takes two round trips. */
const handshakeMilliseconds = 15_000;

export async function listenForSites(
  handler: JsonHandler,
  options: { readonly tls: MutualTlsOptions; readonly host: string; readonly port: number },
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(
    { ...options.tls, requestCert: true, rejectUnauthorized: false, handshakeTimeout: handshakeMilliseconds },
    (request, response) => {
      void handler(request, response).then((isOurs) => {
        if (!isOurs) response.writeHead(404).end();
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
