import { defineNF, forward } from '../nf.ts'

/** Sends every packet back as it is. It has no state: what it costs is the way there and back. */
export const echo = defineNF('echo', {
  summary: 'sends every packet back as it is',
  state: {},
  onPacket(packet, _state, _env, output) {
    output.emit(packet.bytes.subarray(packet.start, packet.end))
    return forward
  },
})
