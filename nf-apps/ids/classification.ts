import { RehomeError } from '../../bus/index.ts'

/** What a classtype means: its text in alerts, and the priority of rules that give none. */
export interface Class {
  readonly category: string
  readonly priority: number
}
export type Classification = ReadonlyMap<string, Class>

/** Lines of the form `config classification: name,text,priority`. */
export function parseClassification(text: string, file: string): Classification {
  const classes = new Map<string, Class>()
  text.split(/\r?\n/).forEach((line, i) => {
    if (/^\s*(#|$)/.test(line)) return
    const m = /^\s*config\s+classification\s*:\s*([^,\s]+)\s*,\s*([\s\S]*?)\s*,\s*(\d+)\s*$/.exec(
      line,
    )
    if (!m) {
      const form = 'config classification: name,text,priority'
      throw new RehomeError('bad-input', `${file}:${i + 1}: the form is: ${form}`)
    }
    classes.set(m[1]!, { category: m[2]!, priority: Number(m[3]) })
  })
  return classes
}

/** The classtypes that rule sets use, for when no file is given. Texts are our own. */
export const defaultClassification: Classification = new Map(
  (
    [
      ['attempted-admin', 'Attempt to gain administrator rights', 1],
      ['attempted-user', 'Attempt to gain user rights', 1],
      ['inappropriate-content', 'Inappropriate content', 1],
      ['policy-violation', 'Breach of policy', 1],
      ['shellcode-detect', 'Executable code', 1],
      ['successful-admin', 'Administrator rights gained', 1],
      ['successful-user', 'User rights gained', 1],
      ['trojan-activity', 'Trojan', 1],
      ['unsuccessful-user', 'User rights not gained', 1],
      ['web-application-attack', 'Attack on a web application', 1],
      ['attempted-dos', 'Attempt to deny service', 2],
      ['attempted-recon', 'Attempt to spy out', 2],
      ['bad-unknown', 'Possibly bad traffic', 2],
      ['default-login-attempt', 'Login with a default name and password', 2],
      ['denial-of-service', 'Denial of service', 2],
      ['misc-attack', 'Other attack', 2],
      ['non-standard-protocol', 'Unusual protocol or event', 2],
      ['rpc-portmap-decode', 'RPC query decoded', 2],
      ['successful-dos', 'Service denied', 2],
      ['successful-recon-largescale', 'Much spied out', 2],
      ['successful-recon-limited', 'Something spied out', 2],
      ['suspicious-filename-detect', 'Suspicious file name', 2],
      ['suspicious-login', 'Login with a suspicious name', 2],
      ['system-call-detect', 'System call', 2],
      ['unusual-client-port-connection', 'Client on an unusual port', 2],
      ['web-application-activity', 'Access to a vulnerable web application', 2],
      ['sdf', 'Sensitive data', 2],
      ['file-format', 'Malformed file', 1],
      ['malware-cnc', 'Malware in control of a host', 1],
      ['client-side-exploit', 'Attack on a client', 1],
      ['icmp-event', 'ICMP event', 3],
      ['misc-activity', 'Other activity', 3],
      ['network-scan', 'Network scan', 3],
      ['not-suspicious', 'Not suspicious', 3],
      ['protocol-command-decode', 'Protocol command decoded', 3],
      ['string-detect', 'Suspicious text', 3],
      ['unknown', 'Unknown traffic', 3],
      ['tcp-connection', 'TCP connection', 4],
    ] as const
  ).map(([name, category, priority]) => [name, { category, priority }]),
)
