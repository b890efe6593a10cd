import { andThen, f64, multiWriter, RehomeError, stale, untether } from '../../actors/index.ts'
import { defineNF, drop, forward, type OptionValues } from '../nf.ts'
import { Subnet, subnet } from '../packet/index.ts'

const Account = multiWriter(
  'account',
  { bytes: f64 },
  {
    add: untether(
      (s, n: number) => {
        s.bytes += n
      },
      { merge: (a, b) => a + b },
    ),
    used: stale((s) => s.bytes, { withinMs: 100 }),
  },
)
/** Of IPv6 addresses: what one network has (bits). */
const PREFIX_V6 = 64

function whole(options: OptionValues, name: string, most: number): number {
  const value = Number(options[name])
  if (Number.isInteger(value) && value >= 0 && value <= most) return value
  throw new RehomeError('bad-argument', `--${name} takes a whole number up to ${most}`)
}

/**
 * Accounts for what each subnet sends, and drops what comes from one that has used its quota. The verdict goes by a read that
 * may be 100 ms old; the account, which is the result, counts all that was sent.
 */
export const subnetQuota = defineNF('subnet-quota', {
  summary: 'bytes sent by each subnet, dropped beyond a quota',
  options: {
    prefix: { type: 'string', value: 'BITS', default: '24', help: 'of an IPv4 subnet' },
    quota: { type: 'string', value: 'BYTES', default: '1000000', help: 'that a subnet may send' },
  },
  state: { accounts: Account.keyedBy(subnet) },
  setup: (options) => ({
    prefix: whole(options, 'prefix', 32),
    quota: whole(options, 'quota', Number.MAX_SAFE_INTEGER),
  }),
  onPacket(p, { accounts }, { prefix, quota }) {
    if (p.l3Offset < 0) return forward
    const account = accounts.at(new Subnet(p.src, p.src.v4 ? prefix : PREFIX_V6))
    account.add(p.wireLength)
    return andThen(account.used(), (bytes) => (bytes > quota ? drop : forward))
  },
  async result({ accounts }, { quota }) {
    const all = await accounts.all()
    const over = (bytes: number) => (bytes > quota ? ' over' : '')
    return all.map(({ key, state: s }) => `${key} ${s.bytes}${over(s.bytes)}`).sort()
  },
})
