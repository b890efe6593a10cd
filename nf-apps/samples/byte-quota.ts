import { f64, RehomeError, singleWriter, u32 } from '../../actors/index.ts'
import { defineNF, drop, forward } from '../nf.ts'
import { symmetricFlow, symmetricFlowOf } from '../packet/index.ts'

const Quota = singleWriter('quota', { bytes: f64, passed: u32, refused: u32 })

/** Lets each flow pass so many bytes, and drops what is over. */
export const byteQuota = defineNF('byte-quota', {
  summary: 'drops what a flow sends beyond its quota of bytes',
  options: {
    quota: {
      type: 'string',
      value: 'BYTES',
      default: '100000',
      help: 'bytes that each flow may pass',
    },
  },
  state: { quotas: Quota.keyedBy(symmetricFlow) },
  setup({ quota }) {
    const bytes = Number(quota)
    if (!(bytes > 0)) {
      throw new RehomeError('bad-argument', `--quota takes a number of bytes, not '${quota}'`)
    }
    return { bytes }
  },
  onPacket(p, { quotas }, env) {
    return quotas.with(symmetricFlowOf(p), (quota) => {
      if (quota.bytes + p.wireLength > env.bytes) {
        quota.refused++
        return drop
      }
      quota.bytes += p.wireLength
      quota.passed++
      return forward
    })
  },
  async result({ quotas }) {
    const all = await quotas.all()
    return all
      .map(({ key, state: s }) => `${symmetricFlow.text(key)} ${s.bytes} ${s.passed} ${s.refused}`)
      .sort()
  },
})
