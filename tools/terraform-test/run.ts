/**
 * `make terraform-test`: what Terraform's azurerm provider does with a vault, through the provider's own client library
 * (`main.go`), unmodified. Built from Go modules into `.cache`: a Go compiler and some minutes the first time, so this is not
 * part of `make test`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderError } from '../../src/platform/errors.ts';
import { run, tryRun } from '../../src/platform/exec.ts';
import { testVault } from '../az-test/vault.ts';

const program = join(import.meta.dirname, '../../.cache/terraform-test');
const folder = await mkdtemp(join(tmpdir(), 'leeward-terraform-'));
try {
  await run('go', ['build', '-p', '2', '-o', program, '.'], {
    cwd: import.meta.dirname,
    timeoutMilliseconds: 900_000,
  });
  await using vault = await testVault(join(folder, 'vault'));
  const { target } = vault;
  console.log(`vault: ${target.url}`);
  const { exitCode, stdout, stderr } = await tryRun(program, [], {
    timeoutMilliseconds: 300_000,
    env: {
      LEEWARD_URL: target.url,
      LEEWARD_TENANT_ID: target.tenantId,
      LEEWARD_CLIENT_ID: target.clientId,
      LEEWARD_CLIENT_SECRET: target.clientSecret,
      LEEWARD_SUBSCRIPTION_ID: target.subscriptionId,
      SSL_CERT_FILE: target.caFile,
    },
  });
  console.log([stdout, stderr].join('\n').trim());
  process.exitCode = exitCode;
} catch (error) {
  console.error(renderError(error));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
