/**
 * The vault's end of the link to its sites: six routes on the vault's public listener. A site shows its client certificate
 * there; the listener asks everybody for one and requires it of nobody, since the API's callers come with a token instead.
 *
 *     listener ─▶ handle ─▶ /site-link/…? ─▶ certificate `site/<id>`, and the site is still known ─▶ route
 *                              no: false, and the API's router goes on
 */

import { signRequest } from '../../platform/certificate-request.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Files, readWhole } from '../../platform/files.ts';
import { type JsonHandler, type JsonRequest, jsonRoutes } from '../../platform/https-json.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/mysql.ts';
import { parse } from '../../platform/settings.ts';
import type { Authority } from '../../platform/tls.ts';
import {
  AnswersRequest,
  CertificateRequestBody,
  ProcessServerCertificateRequest,
  processServerPrefix,
  RegisterRequest,
  SiteReport,
  siteLinkPaths,
  sitePrefix,
} from '../../protocol/control/site-link.ts';
import type { Registration } from '../registration/registration.ts';
import * as sites from '../store/sites.ts';
import { siteLinkErrors } from './errors.ts';
import { reportBytesMax, siteCertificateDays, siteRequestsMax } from './limits.ts';
import type { OrdersDesk } from './orders.ts';

export interface SiteLinkParts {
  readonly database: Database;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly registration: Registration;
  readonly orders: OrdersDesk;
  readonly authority: Authority;
  /** Where process servers reach the cache endpoint. */
  readonly cacheUrl: string;
}

export function siteLinkHandler(parts: SiteLinkParts): JsonHandler {
  const { database, clock, registration, orders } = parts;
  const now = () => new Date(clock.now()).toISOString();
  const siteOf = async ({ peer, peerRefusal }: JsonRequest): Promise<sites.Site> => {
    if (!peer) throw siteLinkErrors.SiteCertificateMissing(peerRefusal ?? 'no certificate was shown');
    if (!peer.commonName.startsWith(sitePrefix)) throw siteLinkErrors.NotASite(peer.commonName);
    const site = await sites.byId(database, peer.commonName.slice(sitePrefix.length));
    if (!site) throw siteLinkErrors.SiteUnknown();
    return site;
  };
  const caPem = async () =>
    (await readWhole(parts.files, parts.authority.caFile, 64 << 10))?.toString() ?? '';
  return jsonRoutes({
    bodyBytesMax: reportBytesMax,
    requestsMax: siteRequestsMax,
    log: parts.log,
    routes: {
      [`POST ${siteLinkPaths.register}`]: async ({ body }) =>
        registration.register(parse(RegisterRequest, body, 'the registration')),

      [`POST ${siteLinkPaths.report}`]: async (request) => {
        const { siteId } = await siteOf(request);
        const report = parse(SiteReport, request.body, 'the report');
        await sites.keepReport(database, siteId, report, now());
        return { at: now() };
      },

      [`GET ${siteLinkPaths.orders}`]: async (request) => {
        const { siteId } = await siteOf(request);
        const after = Number(request.query.get('after') ?? '0');
        return {
          orders: await orders.wait(siteId, Number.isSafeInteger(after) ? after : 0, request.signal),
          at: now(),
        };
      },

      [`POST ${siteLinkPaths.answers}`]: async (request) => {
        const { siteId } = await siteOf(request);
        const { answers } = parse(AnswersRequest, request.body, 'the answers');
        return { kept: await orders.keepAnswers(siteId, answers) };
      },

      [`POST ${siteLinkPaths.certificate}`]: async (request) => {
        const { siteId } = await siteOf(request);
        const { requestPem } = parse(CertificateRequestBody, request.body, 'the request');
        return {
          certificatePem: await registration.siteCertificate(siteId, requestPem),
          caPem: await caPem(),
        };
      },

      [`POST ${siteLinkPaths.processServerCertificate}`]: async (request) => {
        const { siteId } = await siteOf(request);
        const { processServerId, requestPem } = parse(
          ProcessServerCertificateRequest,
          request.body,
          'the request',
        );
        if (!(await sites.claimProcessServer(database, siteId, processServerId)))
          throw siteLinkErrors.ProcessServerOfAnotherSite(processServerId);
        const certificatePem = await signRequest({
          authority: parts.authority,
          requestPem,
          commonName: `${processServerPrefix}${processServerId}`,
          hosts: [],
          days: siteCertificateDays,
          usage: 'client',
        });
        return { certificatePem, caPem: await caPem(), cacheUrl: parts.cacheUrl };
      },
    },
  });
}
