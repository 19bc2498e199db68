/**
 * Goal: the two stores of the vault, its archive and the process server's spool keep what they confirmed through kills and power losses at any moment. The whole
 * world (`simulation.test.ts`) comes by such moments seldom; here they come all the time.
 * Method: one store, simulated files, a model of what was confirmed; after every crash the store is compared with it.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import test from 'ava';
import type { ProtectedDiskId, ProtectedItemId, RecoveryPointId } from '../../src/model/ids.ts';
import { ItemSpool } from '../../src/process-server/spool/item-spool.ts';
import { SpoolSpace } from '../../src/process-server/spool/space.ts';
import { FolderStore } from '../../src/protocol/cache/folder-store.ts';
import { encodeFrame, FrameType, frame, protocolVersion } from '../../src/protocol/replication/frame.ts';
import { Hello } from '../../src/protocol/replication/messages.ts';
import { Receiver } from '../../src/protocol/replication/receiver.ts';
import { Archive } from '../../src/vault/log-processor/archive.ts';
import { ReflinkStore } from '../../src/vault/replica/reflink-store.ts';
import { sumOf } from '../../src/vault/replica/sums.ts';
import { Life, Timeline } from '../support/simulated/clock.ts';
import { SimulatedDrive } from '../support/simulated/files.ts';
import { SeededRandom } from '../support/simulated/random.ts';

const blockBytes = 4096;
const signal = new AbortController().signal;

interface KnownPoint {
  readonly content: Buffer[];
  state: 'tried' | 'cut' | 'dropped';
}

interface SmallWorld {
  readonly timeline: Timeline;
  readonly random: SeededRandom;
  readonly drive: SimulatedDrive;
}

/** Starts `work` in a life that ends at a random moment by kill -9 or power loss, a number of times over. */
async function crashing(
  seed: string,
  rounds: number,
  check: (world: SmallWorld, life: Life) => Promise<void>,
  work: (world: SmallWorld, life: Life) => Promise<void>,
): Promise<void> {
  const timeline = new Timeline();
  const random = new SeededRandom(seed);
  const drive = new SimulatedDrive(timeline, random.fork('drive'));
  const world = { timeline, random, drive };
  for (let round = 0; round < rounds; round++) {
    const life = new Life(`round ${round}`);
    let isOver = false;
    let failure: unknown;
    let hasChecked = false;
    check(world, life)
      .then(() => {
        hasChecked = true;
        timeline.after(random.range(0, random.choose([5, 10, 50])), () => {
          isOver = true;
        });
        return work(world, life);
      })
      .catch((error: unknown) => {
        failure = error;
        isOver = true;
      });
    await timeline.run(Number.POSITIVE_INFINITY, () => isOver);
    life.end();
    if (failure) throw failure;
    if (!hasChecked) throw new Error('the check did not end');
    if (random.chance(0.5)) drive.losePower();
  }
}

test('a folder store keeps every object that it confirmed, and shows none that is not whole', async (t) => {
  let confirmed = 0;
  for (let seed = 0; seed < 15; seed++) {
    /** Key → content that any put has tried, and whether one was confirmed. */
    const known = new Map<string, { content: Buffer; isConfirmed: boolean }>();
    const open = ({ drive, random }: SmallWorld, life: Life) =>
      new FolderStore({
        files: drive.files(life),
        random: random.fork(`store${life.name}`),
        folder: '/cache',
      });
    await crashing(
      `folder/${seed}`,
      40,
      async (world, life) => {
        const store = open(world, life);
        await store.prepare();
        for (const [key, { content, isConfirmed }] of known) {
          const stream = await store.get(key, signal);
          if (!stream) {
            t.false(isConfirmed, `seed ${seed}: ${key} was confirmed and is gone`);
            continue;
          }
          const pieces: Buffer[] = [];
          for await (const piece of stream) pieces.push(piece as Buffer);
          t.true(Buffer.concat(pieces).equals(content), `seed ${seed}: ${key} is not whole`);
        }
      },
      async (world, life) => {
        const store = open(world, life);
        // Like the process server's outlet: what was not confirmed is put again first.
        const left = [...known].filter(([, { isConfirmed }]) => !isConfirmed).map(([key]) => key);
        for (let count = 0; ; count++) {
          const key =
            left.shift() ?? `chain${world.random.between(0, 3)}/${life.name}-${count}.seg`.replace(' ', '');
          const object = known.get(key) ?? {
            content: world.random.bytes(world.random.between(0, 3000)),
            isConfirmed: false,
          };
          known.set(key, object);
          await store.put(
            key,
            {
              sizeBytes: object.content.byteLength,
              sha256: createHash('sha256').update(object.content).digest('hex'),
              open: () => Readable.from(object.content.byteLength > 0 ? [object.content] : []),
            },
            signal,
          );
          object.isConfirmed = true;
          confirmed++;
        }
      },
    );
  }
  t.true(confirmed > 500, `${confirmed} objects`);
});

test('a replica store keeps every point that it confirmed, with its sums, and cuts none from half a head', async (t) => {
  let cut = 0;
  const itemId = '11111111-1111-4111-8111-111111111111' as ProtectedItemId;
  const diskIds = [
    '22222222-2222-4222-8222-222222222222',
    '33333333-3333-4333-8333-333333333333',
  ] as ProtectedDiskId[];
  const sizeBytes = 16 * blockBytes;
  for (let seed = 0; seed < 25; seed++) {
    const points = new Map<RecoveryPointId, KnownPoint>();
    /** Blocks written since the last confirmed flush. */
    const unflushed = new Set<string>();
    /** What the head must have once a flush was confirmed; written anew after a crash, as the log processor does. */
    const model = diskIds.map(() => Buffer.alloc(sizeBytes));
    const open = ({ drive }: SmallWorld, life: Life) =>
      new ReflinkStore({ folder: '/replicas', files: drive.files(life) });
    const holds = async (store: ReflinkStore, pointId: RecoveryPointId, content: Buffer[]) => {
      for (const [index, diskId] of diskIds.entries()) {
        const disk = await store.openPoint(itemId, pointId, diskId);
        const found = Buffer.alloc(disk.sizeBytes);
        await disk.read(found, 0);
        t.true(found.equals(content[index]!), `seed ${seed}: point ${pointId} has other bytes`);
        const sums = await store.openPointSums(itemId, pointId, diskId);
        const sumBytes = Buffer.alloc(sums.sizeBytes);
        await sums.read(sumBytes, 0);
        for (let block = 0; block < sizeBytes / blockBytes; block++)
          t.is(
            sumBytes.readUInt32LE(block * 4),
            sumOf(found.subarray(block * blockBytes, (block + 1) * blockBytes)),
            `seed ${seed}: sum of block ${block} of point ${pointId}`,
          );
      }
    };
    await crashing(
      `replica/${seed}`,
      60,
      async (world, life) => {
        const store = open(world, life);
        await store.prepare();
        const listed = await store.listPoints(itemId);
        for (const [pointId, point] of points) {
          if (point.state === 'cut')
            t.true(listed.includes(pointId), `seed ${seed}: point ${pointId} is gone`);
          if (listed.includes(pointId)) await holds(store, pointId, point.content);
        }
      },
      async (world, life) => {
        const { random } = world;
        const store = open(world, life);
        const heads = await Promise.all(diskIds.map((diskId) => store.openHead(itemId, diskId, sizeBytes)));
        const found = Buffer.alloc(blockBytes);
        for (const [index, head] of heads.entries())
          for (let at = 0; at < sizeBytes; at += blockBytes) {
            const wanted = model[index]!.subarray(at, at + blockBytes);
            await head.read(found, at);
            if (!unflushed.has(`${index}/${at}`))
              t.true(found.equals(wanted), `seed ${seed}: a head has lost ${at}`);
            // What was under way when the last life ended is applied again, as a segment is.
            else await head.write(Buffer.from(wanted), at);
          }
        const left = [...points].find(([, { state }]) => state === 'tried');
        for (let count = 0; ; count++) {
          for (const [index, head] of heads.entries()) {
            if (left && count === 0) break;
            const block = random.between(0, sizeBytes / blockBytes - 1);
            const target = model[index]!.subarray(
              block * blockBytes,
              (block + random.between(1, 3)) * blockBytes,
            );
            for (let at = 0; at < target.byteLength; at += blockBytes)
              unflushed.add(`${index}/${block * blockBytes + at}`);
            if (random.chance(0.3)) {
              target.fill(0);
              await head.zero(block * blockBytes, target.byteLength);
            } else {
              target.fill(random.bytes(32));
              await head.write(Buffer.from(target), block * blockBytes);
            }
          }
          const isAgain = left !== undefined && count === 0;
          if (!isAgain && random.chance(0.6)) continue;
          for (const head of heads) await head.flush();
          unflushed.clear();
          const pointId = isAgain ? left[0] : (random.uuid() as RecoveryPointId);
          const point: KnownPoint = isAgain
            ? left[1]
            : { content: model.map((content) => Buffer.from(content)), state: 'tried' };
          points.set(pointId, point);
          await store.cutPoint(itemId, pointId, diskIds);
          point.state = 'cut';
          cut++;
          const [oldest] = [...points].find(([, { state }]) => state === 'cut')!;
          if (random.chance(0.3)) {
            points.get(oldest)!.state = 'dropped';
            await store.dropPoint(itemId, oldest);
          }
        }
      },
    );
  }
  t.true(cut > 100, `${cut} points`);
});

test('a spool keeps every frame that it acknowledged, through kills that are followed by power losses', async (t) => {
  const itemId = '11111111-1111-4111-8111-111111111111' as ProtectedItemId;
  const diskId = '22222222-2222-4222-8222-222222222222' as ProtectedDiskId;
  let acknowledgedCount = 0;
  let sessions = 0;
  for (let seed = 0; seed < 12; seed++) {
    const acknowledged: string[] = [];
    let generation = 0;
    let spool: ItemSpool;
    await crashing(
      `spool/${seed}`,
      15,
      async ({ drive }, life) => {
        const files = drive.files(life);
        spool = new ItemSpool({
          files,
          folder: '/spool',
          itemId,
          space: new SpoolSpace({ serverBytes: 1 << 30, itemBytes: 1 << 30, refineReserveBytes: 0 }),
          partBytesMax: 12 << 10,
        });
        // Never damaged: nothing here harms what is durable.
        await spool.recover();
        if (spool.isStateMissing) {
          t.is(generation, 0, `seed ${seed}: the state was confirmed and is gone`);
          await spool.beginAnew(0, []);
        }
        let journal = '';
        for (const { path, sizeBytes } of spool.closedParts)
          journal += drive.peek(path)!.toString('latin1', 0, sizeBytes);
        for (const mark of acknowledged)
          t.true(journal.includes(mark), `seed ${seed}: ${mark} was acknowledged and is gone`);
        t.true(spool.state.highestGeneration >= generation, `seed ${seed}: generation ${generation}`);
      },
      async ({ random }) => {
        for (;;) {
          const next = spool.state.highestGeneration + 1;
          await spool.acceptGeneration(next);
          generation = next;
          sessions++;
          const hello = Hello.parse({
            protocolVersions: [protocolVersion],
            itemId,
            sessionId: random.uuid(),
            generation,
            bootId: random.uuid(),
            agentVersion: '0',
            hostName: 'simulated',
            disks: [{ diskId, sizeBytes: 1 << 20, name: '/dev/disk0' }],
          });
          const receiver = new Receiver(hello, spool.disks);
          for (let sequence = 1, last = random.between(1, 12); sequence <= last; sequence++) {
            const mark = `<${generation}/${sequence}>`;
            const payload = Buffer.concat([Buffer.from(mark), random.bytes(random.between(100, 3000))]);
            const data = frame(FrameType.data, {
              generation,
              sequence,
              offsetBytes: 0,
              lengthBytes: payload.byteLength,
              payload,
            });
            receiver.accept(data);
            const options = { closeAfter: random.chance(0.1), nowMilliseconds: 0, check: () => {} };
            await spool.append(encodeFrame(data), hello, receiver.disks, options);
            acknowledged.push(mark);
            acknowledgedCount++;
          }
        }
      },
    );
  }
  t.true(acknowledgedCount > 300 && sessions > 100, `${acknowledgedCount} frames, ${sessions} sessions`);
});

test('an archive keeps every manifest whose place was recorded, through kills and power losses', async (t) => {
  const itemId = '11111111-1111-4111-8111-111111111111' as ProtectedItemId;
  let recorded = 0;
  for (let seed = 0; seed < 40; seed++) {
    /** As the vault's records have it: whole transactions, none of which is lost. */
    let position = { chain: 1, sequence: 0, endBytes: 0 };
    const known = new Map<string, string>();
    let archive: Archive;
    await crashing(
      `archive/${seed}`,
      20,
      async ({ drive }, life) => {
        archive = new Archive({ files: drive.files(life), folder: '/archive' });
        const found = new Map<string, string>();
        for (const chain of await archive.chains(itemId))
          for await (const { sequence, object } of archive.manifests(itemId, chain))
            found.set(`${chain}/${sequence}`, object.toString());
        for (const [place, object] of known)
          t.is(found.get(place), object, `seed ${seed}: manifest ${place}`);
      },
      async ({ random }) => {
        for (;;) {
          const isNewChain = random.chance(0.3);
          const chain = position.chain + (isNewChain ? 1 : 0);
          const sequence = isNewChain ? 1 : position.sequence + 1;
          const object = `{"is":"${random.uuid()}"}\nits mac\n`;
          const from = sequence === 1 ? 0 : position.endBytes;
          const endBytes = await archive.append(itemId, chain, sequence, Buffer.from(object), from);
          position = { chain, sequence, endBytes };
          known.set(`${chain}/${sequence}`, object);
          recorded++;
        }
      },
    );
  }
  t.true(recorded > 500, `${recorded} manifests`);
});
