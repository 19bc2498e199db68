import test from 'ava';
import { systemRandom } from '../../src/platform/random.ts';
import { hashSecret, matchesHash } from '../../src/platform/secret-hash.ts';

test('a hash matches its secret and no other, and says nothing of it', async (t) => {
  const one = await hashSecret('open sesame', systemRandom);
  const two = await hashSecret('open sesame', systemRandom);
  t.not(one, two, 'salted');
  t.false(one.includes('sesame'));
  t.true(await matchesHash('open sesame', one));
  t.true(await matchesHash('open sesame', two));
  t.false(await matchesHash('open sesamE', one));
  t.false(await matchesHash('', one));
});

test('what is no hash of ours matches nothing, and costs nothing', async (t) => {
  const huge = `scrypt$${2 ** 26}$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
  for (const text of ['', 'open sesame', 'scrypt$1$2$3', huge])
    t.false(await matchesHash('open sesame', text));
});

test('a hash whose cost was another then is still understood', async (t) => {
  const earlier = 'scrypt$1024$8$1$AQEBAQEBAQEBAQEBAQEBAQ$lM6ruWAg_fTKmiVqUy-_LEyobRzg2MDq72uVI387cBU';
  t.true(await matchesHash('open sesame', earlier));
  t.false(await matchesHash('open door', earlier));
});
