import { exhaustMap, interval } from 'rxjs'
import { table } from './report.ts'
import type { Progress } from './run.ts'
import type { Source } from './source.ts'

/** Time between two looks (ms): quick enough to see a scale-out happen. */
const LOOK_MS = 250

export interface LiveView {
  /** Shows lines of the NF's own, between the others. */
  say(lines: readonly string[]): void
  stop(): void
}

/** What a run shows while it goes on: redrawn on a terminal, a plain line now and then in a pipe. */
export function showLive(
  source: Source,
  progress: () => Progress,
  out: NodeJS.WriteStream,
): LiveView {
  const { draw, say } = out.isTTY ? redraw(out) : plainLines(out)
  let before = new Map<string, number>()
  let at = performance.now()
  const drawing = interval(LOOK_MS)
    .pipe(exhaustMap(() => source.reports()))
    .subscribe((reports) => {
      const now = performance.now()
      const seconds = (now - at) / 1000
      at = now
      const rows = reports.map((r) => {
        const rate = (r.packets - (before.get(r.id) ?? 0)) / seconds
        return { ...r, rate: Math.max(0, Math.round(rate)) }
      })
      before = new Map(reports.map((r) => [r.id, r.packets]))
      draw(progress(), rows)
    })
  return { say, stop: () => drawing.unsubscribe() }
}

type Rows = readonly {
  id: string
  state: string
  rate: number
  actors: number
  rehomedIn: number
  suspended: number
  slots: number
}[]
interface Screen {
  draw(progress: Progress, rows: Rows): void
  say(lines: readonly string[]): void
}

const whole = (n: number): string => n.toLocaleString('en-US')

const percentOf = (sent: number, total: number) =>
  Math.min(100, Math.floor((100 * sent) / Math.max(1, total)))

/** How far it is; nothing where nobody knows the end. */
function barOf(sent: number, total: number): string {
  if (total === 0) return ''
  const percent = percentOf(sent, total)
  return `${'█'.repeat(Math.floor(percent / 4)).padEnd(25, '░')} ${String(percent).padStart(3)} %  `
}

const textOf = (lines: readonly string[]) => lines.map((line) => `\x1b[2K${line}\n`).join('')

function redraw(out: NodeJS.WriteStream): Screen {
  let drawn: readonly string[] = []
  const up = () => (drawn.length > 0 ? `\x1b[${drawn.length}A` : '')
  const say = (lines: readonly string[]) => {
    out.write(`${up()}${textOf(lines)}${textOf(drawn)}\x1b[J`)
  }
  const draw: Screen['draw'] = ({ sent, total, instances }, rows) => {
    const head = `${barOf(sent, total)}${whole(sent)} packets, ${instances} instances wanted`
    const cells = rows.map((r) => [
      `${r.id}${r.state === 'leaving' ? ' (leaving)' : ''}`,
      whole(r.rate),
      whole(r.slots),
      whole(r.actors),
      whole(r.rehomedIn),
      whole(r.suspended),
    ])
    const columns = ['instance', 'packets/s', 'slots', 'actors', 'rehomed in', 'suspended']
    const lines = [head, ...table([columns, ...cells])]
    out.write(`${up()}${textOf(lines)}\x1b[J`)
    drawn = lines
  }
  return { draw, say }
}

/** Looks between two lines of a pipe: a line a second. */
const PLAIN_EVERY = 4

function plainLines(out: NodeJS.WriteStream): Screen {
  let looks = 0
  const say = (lines: readonly string[]) => {
    out.write(lines.map((line) => `${line}\n`).join(''))
  }
  const draw: Screen['draw'] = ({ sent, total }, rows) => {
    if (looks++ % PLAIN_EVERY !== 0) return
    const each = rows.map((r) => `${r.id} ${whole(r.rate)}/s ${whole(r.actors)} actors`)
    const far = total > 0 ? `${percentOf(sent, total)} %` : `${whole(sent)} packets`
    out.write(`${far}: ${each.join(', ')}\n`)
  }
  return { draw, say }
}
