import { RehomeError } from '../../bus/index.ts'

/**
 * The detectors that no single flow shows: port scans and password guessing. They are rules like others, written
 * here, whose threshold counts over flows at the home of its tracker.
 */

/** Generator id of these rules: no rule file uses it. */
const GID = 1300

/** "100/60": so many within so many seconds. */
function parseRate(option: string, text: string): { count: number; seconds: number } {
  const m = /^(\d+)\/(\d+)$/.exec(text)
  const count = Number(m?.[1])
  const seconds = Number(m?.[2])
  if (!m || count < 1 || seconds < 1) {
    throw new RehomeError('bad-argument', `--${option} ${text}: the form is COUNT/SECONDS`)
  }
  return { count, seconds }
}

/** A source that asks so many different targets (address and port) for a connection. */
export function portScanRules(rate: string): string {
  const { count, seconds } = parseRate('port-scan', rate)
  const threshold = `type both, track by_src, count ${count}, seconds ${seconds}, unique_on target`
  return rule('any any -> any any', 1, 'Port scan', `flags:S,12; threshold:${threshold};`)
}

/** What servers answer to a wrong password; of encrypted services, that connections are made at all. */
const ANSWERS: readonly (readonly [string, string, string])[] = [
  ['FTP', '21', 'content:"530 "; depth:4;'],
  ['Telnet', '23', 'content:"incorrect"; nocase;'],
  ['SMTP', '[25,465,587]', 'content:"535"; depth:3;'],
  ['HTTP', '[80,8000,8080]', 'content:"401"; http_stat_code;'],
  ['POP3', '110', 'content:"-ERR"; depth:4;'],
  ['IMAP', '143', 'pcre:"/^\\S+ NO /m";'],
]

export function passwordRules(rate: string): string {
  const { count, seconds } = parseRate('password-guessing', rate)
  const threshold = `threshold:type both, track by_both, count ${count}, seconds ${seconds};`
  const answered = ANSWERS.map(([service, port, content], i) => {
    const options = `flow:to_client,established; ${content} ${threshold}`
    return rule(`any ${port} -> any any`, 10 + i, `Password guessing: ${service}`, options)
  })
  const asked = `flags:S,12; ${threshold}`
  const ssh = rule('any any -> any [22,3389]', 30, 'Password guessing: SSH or RDP', asked)
  return [...answered, ssh].join('')
}

function rule(ends: string, sid: number, message: string, options: string): string {
  const about = `classtype:attempted-recon; gid:${GID}; sid:${sid}; rev:1;`
  return `alert tcp ${ends} (msg:"${message}"; ${options} ${about})\n`
}
