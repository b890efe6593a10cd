/**
 * What the scripts of package.json call: `node scripts/ready.mjs <verb> [args]`.
 * Makes the checkout ready (setup.mjs), then runs the verb's program; its exit code is ours.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import {
  cacheDir,
  ensureBuild,
  ensureNats,
  ensurePackages,
  ensureRedis,
  passSignals,
  readOr,
  root,
  runOpen,
  SetupError,
  say,
} from './setup.mjs'

const NODE_LEAST = [20, 19]

/** What `npm start` shows; arguments given by the user come after these and win. */
const SHOWN = 'run prads --pcap samples/office.pcap --loop 12 --rate 30000 --scale 1,2,3,2'.split(
  ' ',
)

const verbs = {
  start: async (args) => {
    const nats = await ensureNats()
    if (!nats.found) say('instances talk over the embedded memory bus, in one process')
    const bus = ['--bus', nats.found ? 'nats' : 'memory']
    return runOpen(process.execPath, ['dist/cli/main.js', ...SHOWN, ...bus, ...args], nats.env)
  },
  test: check,
  check,
  bench: async (args) => {
    const nats = await ensureNats()
    if (args.some((arg) => arg === 'store' || arg === 'all')) await ensureRedis(nats.env)
    return runOpen(process.execPath, ['dist/bench/main.js', ...args], nats.env)
  },
  'check:prads': (args) => runOpen(process.execPath, ['dist/test/kit/check-prads.js', ...args]),
  'check:nat': async (args) => {
    const nats = await ensureNats()
    return runOpen(process.execPath, ['dist/test/kit/check-nat.js', ...args], nats.env)
  },
  'check:scale': async (args) => {
    const nats = await ensureNats()
    return runOpen(process.execPath, ['dist/test/kit/check-scale.js', ...args], nats.env)
  },
  'check:ids': (args) => runOpen(process.execPath, ['dist/test/kit/check-ids.js', ...args]),
  api: (args) => runOpen(process.execPath, ['scripts/api.mjs', ...args]),
  sim: (args) => runOpen(process.execPath, ['dist/test/kit/sim-main.js', ...args]),
  fuzz: (args) => runOpen(process.execPath, ['dist/test/kit/fuzz-main.js', ...args]),
  soak: async (args) => {
    const nats = await ensureNats()
    return runOpen(process.execPath, ['dist/test/kit/soak-main.js', ...args], nats.env)
  },
}

/** Format and lint, types, tests: all three run, so that one look shows all there is to mend. */
async function check(args) {
  const { env } = await ensureNats()
  // Some colour libraries take CI=true for a terminal; a log is read by programs too.
  if (!process.stdout.isTTY && env.FORCE_COLOR === undefined) env.NO_COLOR = '1'
  const tool = (...parts) => path.join(root, 'node_modules', ...parts)
  const biome = tool('@biomejs', 'biome', 'bin', 'biome')
  const lint = await runOpen(process.execPath, [biome, 'check', '.'], env)
  const types = await runOpen(process.execPath, [tool('typescript', 'bin', 'tsc')], env)
  const counts = path.join(cacheDir, `tests-${process.pid}.json`)
  const reporters = ['--reporter=default', '--reporter=./scripts/count-reporter.mjs']
  const vitest = [tool('vitest', 'vitest.mjs'), 'run', ...reporters, ...args]
  const tests = await runOpen(process.execPath, vitest, { ...env, REHOME_COUNTS: counts })
  const { passed, failed } = JSON.parse(readOr(counts) ?? '{ "passed": 0, "failed": 0 }')
  fs.rmSync(counts, { force: true })

  if (lint !== 0) say('format or lint: see above (npm run format mends what can be mended)')
  if (types !== 0) say('types: see above')
  const broken = [lint, types].filter((code) => code !== 0).length
  // A run that ended badly before it could count, by a crash or for want of a matching test.
  const unseen = tests !== 0 && failed === 0 ? 1 : 0
  process.stdout.write(`${passed} passed, ${failed + broken + unseen} failed\n`)
  return failed + broken + unseen === 0 ? 0 : 1
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_LEAST[0] || (major === NODE_LEAST[0] && minor >= NODE_LEAST[1])) return
  throw new SetupError(
    `Node ${NODE_LEAST.join('.')} or newer is needed; this is ${process.version}`,
  )
}

async function main([verb, ...args]) {
  passSignals()
  checkNode()
  const run = Object.hasOwn(verbs, verb ?? '') ? verbs[verb] : undefined
  if (run === undefined) {
    throw new SetupError(`usage: node scripts/ready.mjs ${Object.keys(verbs).join('|')} [args]`)
  }
  await ensurePackages()
  await ensureBuild()
  return run(args)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (err) => {
    if (!(err instanceof SetupError)) throw err
    if (err.detail !== '') process.stderr.write(`${err.detail.trimEnd()}\n`)
    say(err.message)
    // Where no test could run, a reader of the last line is told so too.
    if (verbs[process.argv[2]] === check) process.stdout.write('0 passed, 1 failed\n')
    process.exitCode = 1
  },
)
