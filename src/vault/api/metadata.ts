/**
 * What a cloud says of itself before anybody has signed in: `az cloud register` and Terraform's `metadata_host` read from
 * here where to sign in and where the resource manager is. The shape depends on the version that is asked for.
 *
 *     2015-01-01  one object, old names        2019-05-01  a list of objects        2022-09-01 and anything else  one object
 */
import type Koa from 'koa';
import { errors } from './errors.ts';

export function metadata(publicUrl: string): Koa.Middleware {
  return async (context, next) => {
    if (context.path.toLowerCase().replace(/\/$/, '') !== '/metadata/endpoints') return next();
    if (context.method !== 'GET') throw errors.MethodNotAllowed(context.method, 'GET');
    const version = String(context.query['api-version'] ?? '');
    context.body =
      version === '2015-01-01'
        ? oldest(publicUrl)
        : version.startsWith('2019-') || version.startsWith('2018-')
          ? [cloud(publicUrl)]
          : cloud(publicUrl);
  };
}

function cloud(publicUrl: string): unknown {
  return {
    name: 'Leeward',
    portal: publicUrl,
    authentication: {
      loginEndpoint: publicUrl,
      audiences: [publicUrl],
      // Both words, or Terraform takes the cloud for an Azure Stack and refuses it.
      tenant: 'common',
      identityProvider: 'AAD',
    },
    resourceManager: publicUrl,
    graph: `${publicUrl}/graph`,
    graphAudience: `${publicUrl}/graph`,
    microsoftGraphResourceId: `${publicUrl}/graph`,
    media: publicUrl,
    batch: publicUrl,
    gallery: publicUrl,
    vmImageAliasDoc: `${publicUrl}/metadata/aliases`,
    sqlManagement: publicUrl,
    suffixes: { ...suffixes(publicUrl) },
  };
}

function oldest(publicUrl: string): unknown {
  return {
    galleryEndpoint: publicUrl,
    graphEndpoint: `${publicUrl}/graph`,
    portalEndpoint: publicUrl,
    graphAudience: `${publicUrl}/graph`,
    authentication: { loginEndpoint: publicUrl, audiences: [publicUrl] },
  };
}

/** There is no storage and no key store beside a vault; clients want a name all the same. */
function suffixes(publicUrl: string) {
  const { hostname } = new URL(publicUrl);
  return {
    storage: hostname,
    keyVaultDns: `vault.${hostname}`,
    sqlServerHostname: `database.${hostname}`,
    acrLoginServer: `registry.${hostname}`,
  };
}
