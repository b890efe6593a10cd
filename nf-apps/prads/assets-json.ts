import { macText } from '../packet/index.ts'
import {
  type FoundAsset,
  macChanges,
  offerPlace,
  offersTold,
  osOf,
  stackText,
} from './asset-log.ts'
import { distanceOf, kindNames } from './fingerprint.ts'
import type { Signatures } from './signatures.ts'

/** One object a line for each asset, by address. */
export function assetsJson(assets: readonly FoundAsset[], signatures: Signatures): string[] {
  return [...assets]
    .sort((a, b) => a.key.ip.compare(b.key.ip) || a.key.vlan - b.key.vlan)
    .map((asset) => JSON.stringify(assetObject(asset, signatures)))
}

function assetObject({ key, state }: FoundAsset, signatures: Signatures) {
  const stacks = Object.values(state.stacks).sort((a, b) => a.index - b.index)
  const offers = Object.entries(state.offers).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    ip: key.ip.toString(),
    vlan: key.vlan || undefined,
    firstSeen: state.firstSeen,
    lastSeen: state.lastSeen,
    macs: macChanges(state.claims).map(({ value, seconds }) => ({
      mac: macText(value.mac),
      vendor: signatures.vendors.vendor(value.mac),
      vlan: value.vlan,
      discovered: seconds,
    })),
    stacks: stacks.map((stack) => ({
      by: kindNames[stack.kind],
      ...osOf(stack, signatures),
      fingerprint: stackText(stack),
      port: stack.port,
      vlan: stack.vlan,
      distance: distanceOf(stack.ttl),
      link: stack.mss ? signatures.links.name(stack.mss) : undefined,
      uptimeHours: stack.stamp ? Math.floor(stack.stamp / 360_000) : undefined,
      discovered: stack.seconds,
    })),
    services: offers.flatMap(([place, timeline]) => {
      const { protocol, port, server } = offerPlace(place, timeline)
      return offersTold(timeline).map(({ seconds, value }) => ({
        role: server ? 'server' : 'client',
        protocol,
        port,
        service: value.service,
        application: value.application,
        vlan: value.vlan,
        discovered: seconds,
      }))
    }),
  }
}
