/**
 * What `npm start`, `test`, `check`, `bench` and `sim` call: `node scripts/ready.mjs <verb> [args]`.
 * Makes the checkout ready (setup.mjs), then runs the verb's program; its exit code is ours.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import {
  cacheDir,
  ensureBuild,
  ensureNats,
  ensurePackages,
  passSignals,
  readOr,
  root,
  runOpen,
  SetupError,
  say,
} from './setup.mjs'

const NODE_LEAST = [20, 19]

/** What `npm start` shows; arguments given by the user come after these and win. */
const SHOWN = [
  'run',
  'prads',
  '--pcap',
  'samples/office.pcap',
  '--loop',
  '40',
  '--scale',
  '1,2,3,2',
]

const verbs = {
  start: async (args) => {
    const nats = await ensureNats()
    if (!nats.found) say('instances talk over the embedded memory bus, in one process')
    const bus = ['--bus', nats.found ? 'nats' : 'memory']
    return runOpen(process.execPath, ['dist/cli/main.js', ...SHOWN, ...bus, ...args], nats.env)
  },
  test: (args) => check(args),
  check: (args) => check(args),
  bench: async (args) => {
    const nats = await ensureNats()
    return runOpen(process.execPath, ['dist/bench/main.js', ...args], nats.env)
  },
  sim: (args) => runOpen(process.execPath, ['dist/test/kit/sim-main.js', ...args]),
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
  const report = path.join(cacheDir, `tests-${process.pid}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const vitest = [tool('vitest', 'vitest.mjs'), 'run', ...reporters, ...args]
  const tests = await runOpen(process.execPath, vitest, env)
  const count = countTests(readOr(report), tests)
  fs.rmSync(report, { force: true })

  if (lint !== 0) say('format or lint: see above (npm run format mends what can be mended)')
  if (types !== 0) say('types: see above')
  const failed = count.failed + (lint === 0 ? 0 : 1) + (types === 0 ? 0 : 1)
  process.stdout.write(`${count.passed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

/** A file that could not be loaded has no tests to count, and counts as one failure; so does a crash. */
function countTests(report, exitCode) {
  if (report === undefined) return { passed: 0, failed: exitCode === 0 ? 0 : 1 }
  const { numPassedTests: passed, numFailedTests, testResults } = JSON.parse(report)
  const unloaded = testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  const failed = numFailedTests + unloaded.length
  return { passed, failed: failed === 0 && exitCode !== 0 ? 1 : failed }
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
    process.exitCode = 1
  },
)
