import { closeSync, openSync, writeSync } from 'node:fs'
import { RehomeError } from '../bus/index.ts'
import { CaptureRecord, type Output, PcapWriter } from '../loadgen/index.ts'
import { LINK_ETHERNET } from '../nf-apps/packet/index.ts'
import type { SourceOptions } from './source.ts'

/** Files of what an NF sends besides its verdicts, written as it comes. */
export class Outputs {
  private readonly record = new CaptureRecord()
  private readonly pcap: string | undefined
  private readonly events: number | undefined
  private writer: PcapWriter | undefined

  constructor(pcap: string | undefined, events: string | undefined) {
    this.pcap = pcap
    // The writer waits for the first frame's link type; whether it can write is told at once.
    if (pcap !== undefined) closeSync(create('--out-pcap', pcap))
    this.events = events === undefined ? undefined : create('--events', events)
  }

  /** What a source hands on: frames, which `onFrame` gets too, and lines where there is a file for them. */
  sinks(onFrame: (bytes: Uint8Array) => void): Pick<SourceOptions, 'onFrame' | 'onEvent'> {
    const { events } = this
    return {
      onFrame: (frame) => {
        this.frame(frame)
        onFrame(frame.bytes)
      },
      ...(events !== undefined && {
        onEvent: ({ index, bytes }) =>
          void writeSync(events, `${index} ${new TextDecoder().decode(bytes)}\n`),
      }),
    }
  }

  private frame({ timeUs, linkType, bytes }: Output): void {
    if (this.pcap === undefined) return
    this.writer ??= new PcapWriter(this.pcap, { linkType })
    const { length } = bytes
    const place = { bytes, start: 0, end: length, wireLength: length }
    this.writer.write(Object.assign(this.record, place, { timeUs, linkType }))
  }

  close(): void {
    if (this.events !== undefined) closeSync(this.events)
    if (this.pcap === undefined) return
    this.writer ??= new PcapWriter(this.pcap, { linkType: LINK_ETHERNET })
    this.writer.close()
  }
}

function create(option: string, path: string): number {
  try {
    return openSync(path, 'w')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new RehomeError('bad-argument', `${option}: cannot write ${path}: ${why.split(',')[0]}`)
  }
}
