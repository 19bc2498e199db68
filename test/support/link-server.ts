/** The process server's door, for tests of the other side: real TLS on loopback, each link handed to `serve`. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { ExecutionContext } from 'ava';
import { systemClock } from '../../src/platform/clock.ts';
import { hasCode } from '../../src/platform/errors.ts';
import type { Link } from '../../src/protocol/replication/link.ts';
import { acceptLink } from '../../src/protocol/replication/tls-link.ts';
import type { testCertificates } from './test-certificates.ts';

export const linkServerName = 'process-server/test';

/** Answers its port; goes with the test. Links that break are what many tests are about; any other end is logged. */
export async function serveLinks(
  t: ExecutionContext<unknown>,
  certificates: Awaited<ReturnType<typeof testCertificates>>,
  serve: (link: Link) => Promise<void>,
): Promise<number> {
  const server = createServer({
    ...certificates.of(linkServerName),
    requestCert: true,
    rejectUnauthorized: true,
  });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket: TLSSocket) => {
    serve(acceptLink(socket, systemClock)).catch((error: unknown) => {
      if (!hasCode(error, 'LinkBroken')) t.log(error);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}
