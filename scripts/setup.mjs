/**
 * Set-up on a fresh machine: packages from the lockfile, the build, and a nats-server. Each step first
 * asks whether it is needed, which costs some milliseconds, and prints a line only when it does something.
 *
 * Several commands may run at once in one checkout, so what is written stands under a lock, and a step
 * asks again once it has the lock.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => path.join(root, ...parts)

/** Stamps and scratch files; `npm ci` empties it with the rest of node_modules, which is as it should be. */
export const cacheDir = at('node_modules', '.cache', 'rehome')
const installStamp = path.join(cacheDir, 'install')
const buildStamp = path.join(cacheDir, 'build')
/** Outside node_modules, since `npm ci` would delete a lock in there under its holder's feet. */
const lockPath = at('.rehome', 'setup.lock')

const LOCK_BEAT_MS = 2_000
/** A holder that has not touched its lock for so long is gone; some beats may be late on a busy machine. */
const LOCK_STALE_MS = 60_000
const LOCK_POLL_MS = 100
/** After a failed apt-get, the next commands do not try it again for so long: it can take a minute. */
const APT_AGAIN_MS = 3_600_000

const NPM_LINES_MAX = 15

/** Ends the command with one line for the user; `detail` is the failing program's own output. */
export class SetupError extends Error {
  constructor(message, detail = '') {
    super(message)
    this.detail = detail
  }
}

/** Progress goes to stderr, so that a command's own output can be piped. */
export function say(line) {
  process.stderr.write(`rehome: ${line}\n`)
}

async function timed(what, done, work) {
  say(`${what} ...`)
  const start = Date.now()
  const result = await work()
  say(`${done} in ${((Date.now() - start) / 1000).toFixed(1)} s`)
  return result
}

// --- child processes -----------------------------------------------------------------------------

const children = new Set()
let releaseLock = () => {}
let stopping

/** A signal to the whole process group reaches us twice: from its sender, and passed on by npm. */
const SAME_SIGNAL_MS = 300

/** How often to look whether npm is still there. */
const PARENT_POLL_MS = 250

/**
 * Passes signals on to the running child and ends with it. On a terminal the kernel has sent Ctrl-C to
 * the child already (and npm sends us another): a second one would mean "force" there.
 */
export function passSignals() {
  let last = 0
  const stop = (name) => {
    const repeated = name === stopping && Date.now() - last < SAME_SIGNAL_MS
    const fromTerminal = name === 'SIGINT' && (process.stdin.isTTY || process.stderr.isTTY)
    stopping = name
    last = Date.now()
    if (!fromTerminal && !repeated) for (const child of children) child.kill(name)
    if (children.size === 0) leave(signalCode(name))
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => stop(name))
  if (process.env.npm_lifecycle_event !== undefined) onOrphaned(() => stopping ?? stop('SIGTERM'))
}

/** npm passes SIGTERM on to its shell only, which dies of it and leaves us behind. */
function onOrphaned(then) {
  const parent = process.ppid
  const poll = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(poll)
    then()
  }, PARENT_POLL_MS)
  poll.unref()
}

const signalCode = (name) => 128 + (os.constants.signals[name] ?? 0)

function leave(code) {
  releaseLock()
  process.exit(code)
}

/** Runs a program with our terminal; answers its exit code. */
export function runOpen(file, args, env = process.env) {
  return spawned(file, args, { cwd: root, env, stdio: 'inherit' }).then((r) => r.code)
}

/** Runs a program quietly; answers its exit code and all it printed. */
export function runQuiet(file, args, env = process.env) {
  return spawned(file, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

function spawned(file, args, options) {
  return new Promise((resolve) => {
    const child = spawn(file, args, options)
    const pieces = []
    children.add(child)
    child.stdout?.on('data', (d) => pieces.push(d))
    child.stderr?.on('data', (d) => pieces.push(d))
    const end = (code, text) => {
      if (!children.delete(child)) return
      const output = text ?? Buffer.concat(pieces).toString()
      if (stopping === undefined) resolve({ code, output })
      else leave(options.stdio === 'inherit' ? code : signalCode(stopping))
    }
    child.on('error', (err) => end(127, err.message))
    child.on('close', (code, signal) => end(code ?? signalCode(signal)))
  })
}

// --- the lock ------------------------------------------------------------------------------------

async function locked(work) {
  const mine = `${process.pid} ${os.hostname()} ${Math.random()}`
  fs.mkdirSync(path.dirname(lockPath), { recursive: true })
  for (let waited = 0; !tryLock(mine); waited++) {
    if (waited === 5) say('waiting for another command that sets up this checkout')
    await new Promise((r) => setTimeout(r, LOCK_POLL_MS))
  }
  const beat = setInterval(() => touch(lockPath), LOCK_BEAT_MS)
  releaseLock = () => {
    clearInterval(beat)
    if (readOr(lockPath) === mine) fs.rmSync(lockPath, { force: true })
    releaseLock = () => {}
  }
  try {
    return await work()
  } finally {
    releaseLock()
  }
}

function tryLock(mine) {
  try {
    fs.writeFileSync(lockPath, mine, { flag: 'wx' })
    return true
  } catch (err) {
    if (err.code !== 'EEXIST') throw new SetupError(`cannot write ${lockPath}: ${err.message}`)
  }
  const theirs = readOr(lockPath)
  if (theirs !== undefined && isStale(theirs)) breakLock(theirs)
  return false
}

function isStale(holder) {
  const [pid, host] = holder.split(' ')
  const age = Date.now() - (fs.statSync(lockPath, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
  // An empty lock is one that its holder is about to fill.
  return age > LOCK_STALE_MS || (host === os.hostname() && !isAlive(Number(pid)))
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return err.code === 'EPERM'
  }
}

/** Two waiters may both judge one lock stale; the slower must not take away what the faster took since. */
function breakLock(judged) {
  const aside = `${lockPath}.${process.pid}`
  try {
    fs.renameSync(lockPath, aside)
    if (readOr(aside) !== judged) fs.linkSync(aside, lockPath)
  } catch {
    // Somebody else was faster: the next round sees what there is.
  }
  fs.rmSync(aside, { force: true })
}

function touch(file) {
  const now = new Date()
  try {
    fs.utimesSync(file, now, now)
  } catch {
    // Broken by somebody who took us for dead: the work goes on, and does no harm twice.
  }
}

// --- packages ------------------------------------------------------------------------------------

/** Installs the packages of package-lock.json unless they are there. */
export async function ensurePackages() {
  const wanted = lockHash()
  if (readOr(installStamp) === wanted) return
  await locked(async () => {
    if (readOr(installStamp) === wanted) return
    if (!installedByHand()) await timed('installing packages (npm ci)', 'packages installed', npmCi)
    writeStamp(installStamp, wanted)
  })
}

/** Packages with native parts differ by platform, so a checkout shared between two is two installs. */
function lockHash() {
  const lock = fs.readFileSync(at('package-lock.json'))
  return createHash('sha256')
    .update(lock)
    .update(`${process.platform} ${process.arch}`)
    .digest('hex')
}

/** True where `npm install` has put in place what the lockfile asks for, so that no work is done twice. */
function installedByHand() {
  const wanted = JSON.parse(fs.readFileSync(at('package-lock.json'), 'utf8')).packages
  const hidden = readOr(at('node_modules', '.package-lock.json'))
  if (hidden === undefined) return false
  const present = JSON.parse(hidden).packages
  return Object.keys(wanted).every((name) => {
    if (name === '' || (wanted[name].optional && !present[name])) return true
    return present[name]?.version === wanted[name].version
  })
}

async function npmCi() {
  // NODE_ENV=production or npm's own settings may leave out the development packages: they are needed.
  const args = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const cli = process.env.npm_execpath
  const own = cli !== undefined && path.basename(cli).startsWith('npm')
  const ran = own ? await runQuiet(process.execPath, [cli, ...args]) : await runQuiet('npm', args)
  if (ran.code !== 0) {
    // npm says what is wrong first, then its whole usage.
    const head = ran.output.split('\n').slice(0, NPM_LINES_MAX).join('\n')
    throw new SetupError('npm ci failed (is the package registry reachable?)', head)
  }
}

// --- the build -----------------------------------------------------------------------------------

/** Compiles into dist/ unless the sources are those of the last build and its outputs are there. */
export async function ensureBuild() {
  if (isBuilt(readSources())) return
  await locked(async () => {
    const sources = readSources()
    if (isBuilt(sources)) return
    fs.rmSync(buildStamp, { force: true })
    await timed('building', 'built', compile)
    removeStaleOutputs(sources.files)
    writeStamp(buildStamp, sources.hash)
  })
}

/** The sources, with a hash over names, sizes and times of change: reading them all would take longer. */
function readSources() {
  const { include } = JSON.parse(fs.readFileSync(at('tsconfig.build.json'), 'utf8'))
  const files = include.flatMap((entry) => listSources(entry)).sort()
  const hash = createHash('sha256').update(readOr(installStamp) ?? '')
  for (const file of [...files, 'tsconfig.json', 'tsconfig.build.json']) {
    const { mtimeMs, size } = fs.statSync(at(file))
    hash.update(`${file} ${mtimeMs} ${size}\n`)
  }
  return { files, hash: hash.digest('hex') }
}

function listSources(entry) {
  if (!fs.existsSync(at(entry))) return []
  if (entry.endsWith('.ts')) return [entry]
  return fs.readdirSync(at(entry), { withFileTypes: true }).flatMap((item) => {
    const name = `${entry}/${item.name}`
    if (item.isDirectory()) return listSources(name)
    return item.name.endsWith('.ts') && !item.name.endsWith('.d.ts') ? [name] : []
  })
}

function isBuilt({ files, hash }) {
  if (readOr(buildStamp) !== hash) return false
  return files.every((file) => fs.existsSync(at('dist', file.replace(/\.ts$/, '.js'))))
}

async function compile() {
  // Without an error nothing is written, so that dist/ always is one build that passed.
  const args = [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']
  const ran = await runQuiet(process.execPath, [...args, '--noEmitOnError'])
  if (ran.code !== 0) throw new SetupError('the build failed', ran.output)
}

function removeStaleOutputs(sources) {
  const stems = new Set(sources.map((file) => file.replace(/\.ts$/, '')))
  const sweep = (dir) => {
    for (const item of fs.readdirSync(at('dist', dir), { withFileTypes: true })) {
      const name = path.posix.join(dir, item.name)
      if (item.isDirectory()) sweep(name)
      else if (!stems.has(name.replace(/(\.d\.ts|\.js)(\.map)?$/, ''))) fs.rmSync(at('dist', name))
    }
    if (dir !== '' && fs.readdirSync(at('dist', dir)).length === 0) fs.rmdirSync(at('dist', dir))
  }
  sweep('')
}

// --- nats-server ---------------------------------------------------------------------------------

/** Debian puts nats-server where the PATH of a user who is not root does not look. */
const SYSTEM_DIRS = ['/usr/sbin', '/usr/local/sbin']

/**
 * Finds a nats-server: $NATS_URL, PATH, else Debian's package when root. Answers whether there is one, and
 * the environment in which a child finds it.
 */
export async function ensureNats() {
  const dirs = (process.env.PATH ?? '').split(path.delimiter)
  const extra = SYSTEM_DIRS.filter((dir) => !dirs.includes(dir))
  const env = { ...process.env, PATH: [...dirs, ...extra].join(path.delimiter) }
  const isThere = () => [...dirs, ...extra].some((dir) => isProgram(path.join(dir, 'nats-server')))
  if (process.env.NATS_URL || isThere()) return { found: true, env }
  const why = await locked(async () => (isThere() ? undefined : await install('nats-server')))
  if (why === undefined && isThere()) return { found: true, env }
  say(`no nats-server (${why ?? 'the package has none'}): set NATS_URL or install one to use it`)
  return { found: false, env }
}

/** For the benches: the peer that calls are compared with. They say so where there is none. */
export async function ensureRedis(env) {
  const isThere = () =>
    env.PATH.split(path.delimiter).some((dir) => isProgram(path.join(dir, 'redis-server')))
  if (isThere()) return
  const why = await locked(async () => (isThere() ? undefined : await install('redis-server')))
  if (why !== undefined) say(`no redis-server (${why}): the benches go without it`)
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** Answers why it could not, or undefined. */
async function install(name) {
  if (process.getuid?.() !== 0) return 'none in PATH, and not root to install one'
  if (!isProgram('/usr/bin/apt-get')) return 'none in PATH, and no apt-get to install one'
  const failed = path.join(cacheDir, `apt-failed-${name}`)
  const age = Date.now() - (fs.statSync(failed, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  if (age < APT_AGAIN_MS) return 'none in PATH, and apt-get failed lately'
  say(`installing ${name} (apt-get) ...`)
  if (await aptInstall(name)) {
    say(`${name} installed`)
    return undefined
  }
  writeStamp(failed, '')
  return 'none in PATH, and apt-get could not install it'
}

async function aptInstall(name) {
  // The server is run by the commands that need it, on ports of their own: SYSTEMD_OFFLINE and RUNLEVEL keep
  // the package from starting a service beside them.
  const quiet = { DEBIAN_FRONTEND: 'noninteractive', SYSTEMD_OFFLINE: '1', RUNLEVEL: '1' }
  const env = { ...process.env, ...quiet }
  const options = ['-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::http::Timeout=15', '-qq']
  const apt = async (...args) => (await runQuiet('apt-get', [...options, ...args], env)).code === 0
  const once = () => apt('install', '-y', '--no-install-recommends', name)
  return (await once()) || ((await apt('update')) && (await once()))
}

// --- small things --------------------------------------------------------------------------------

export function readOr(file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function writeStamp(file, text) {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text)
  } catch {
    // Somebody else's checkout: without the stamp, the next command looks again, which is all it costs.
  }
}
