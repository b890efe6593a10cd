# Mail, file and shell servers. Sourced by play.sh, after servers.sh.

mail_servers() {
  conf exim.conf <<-END
	primary_hostname = mail1.office.example
	domainlist local = office.example : mail1.office.example
	acl_smtp_rcpt = accept
	host_lookup = *
	rfc1413_query_timeout = 0s
	spool_directory = $W/spool/exim
	log_file_path = $W/log/mail1-exim-%s
	daemon_smtp_ports = 25 : 587
	never_users =
	smtp_accept_max_nonmail = 1000
	smtp_accept_max = 500
	smtp_accept_max_per_host = 100
	begin routers
	local:
	  driver = accept
	  transport = box
	begin transports
	box:
	  driver = appendfile
	  file = $W/mail/\$local_part
	  user = Debian-exim
	  group = mail
	  mode_fail_narrower = false
	  mode = 0666
	begin retry
	* * F,1h,10m
	END
  mkdir -p "$W/spool/exim"
  chown -R Debian-exim "$W/spool/exim"
  chmod 777 "$W/log"
  serve mail1 exim exim4 -C "$W/exim.conf" -bdf
  conf dovecot.conf <<-END
	protocols = imap pop3
	listen = *, ::
	base_dir = /run/dovecot
	log_path = /dev/stderr
	ssl = yes
	ssl_cert = <$W/tls.crt
	ssl_key = <$W/tls.key
	disable_plaintext_auth = no
	mail_location = mbox:$W/boxes/%n:INBOX=$W/mail/%n
	mail_access_groups = mail
	first_valid_uid = 1
	mail_max_userip_connections = 500
	passdb {
	  driver = static
	  args = password=office
	}
	userdb {
	  driver = static
	  args = uid=alice gid=mail home=$W/boxes/%n
	}
	service imap-login {
	  process_limit = 400
	}
	service pop3-login {
	  process_limit = 400
	}
	END
  install -d -m 777 "$W/boxes"
  serve mail1 dovecot dovecot -F -c "$W/dovecot.conf"
  conf postfix/main.cf <<-END
	compatibility_level = 3.6
	myhostname = mail2.office.example
	mydestination =
	mynetworks = 10.77.0.0/16 [fd77::]/32
	relayhost = [mail1.office.example]
	inet_protocols = all
	queue_directory = $W/spool/postfix
	data_directory = $W/spool/postfix-data
	daemon_directory = /usr/lib/postfix/sbin
	command_directory = /usr/sbin
	shlib_directory = /usr/lib/postfix
	mail_owner = postfix
	setgid_group = postdrop
	alias_maps =
	smtpd_timeout = 300s
	smtpd_junk_command_limit = 1000
	smtpd_client_connection_count_limit = 0
	smtpd_client_connection_rate_limit = 0
	maillog_file = $W/log/mail2-postfix
	maillog_file_prefixes = $W
	END
  conf postfix/master.cf <<-END
	smtp inet n - n - - smtpd
	pickup unix n - n 60 1 pickup
	cleanup unix n - n - 0 cleanup
	qmgr unix n - n 300 1 qmgr
	rewrite unix - - n - - trivial-rewrite
	bounce unix - - n - 0 bounce
	defer unix - - n - 0 bounce
	trace unix - - n - 0 bounce
	verify unix - - n - 1 verify
	smtp unix - - n - - smtp
	relay unix - - n - - smtp
	error unix - - n - - error
	retry unix - - n - - error
	anvil unix - - n - 1 anvil
	scache unix - - n - 1 scache
	proxymap unix - - n - - proxymap
	postlog unix-dgram n - n - 1 postlogd
	END
  mkdir -p "$W/spool/postfix-data" "$W"/spool/postfix/{active,bounce,corrupt,defer,deferred} \
    "$W"/spool/postfix/{flush,hold,incoming,maildrop,pid,private,public,saved,trace}
  chown -R postfix "$W/spool/postfix" "$W/spool/postfix-data"
  chown root "$W/spool/postfix" "$W/spool/postfix/pid"
  chgrp postdrop "$W/spool/postfix/"{maildrop,public}
  serve mail2 postfix /usr/lib/postfix/sbin/master -c "$W/postfix" -d
  serve mail3 aiosmtpd python3 -m aiosmtpd -n -l 0.0.0.0:25
}

file_servers() {
  conf proftpd.conf <<-END
	ServerType standalone
	ServerName "files1"
	Port 21
	UseIPv6 on
	User nobody
	Group nogroup
	PidFile $W/proftpd.pid
	ScoreboardFile $W/proftpd.score
	DelayTable $W/proftpd.delay
	TimeoutIdle 600
	TimeoutNoTransfer 600
	MaxInstances 100
	<Anonymous $W/ftp>
	  User ftp
	  Group nogroup
	  UserAlias anonymous ftp
	  RequireValidShell off
	</Anonymous>
	END
  serve files1 proftpd proftpd -n -c "$W/proftpd.conf"
  conf rsyncd.conf <<-END
	use chroot = no
	[pub]
	path = $W/ftp/pub
	END
  serve files1 rsyncd rsync --daemon --no-detach --config="$W/rsyncd.conf"
  serve files1 tftpd in.tftpd -L -s "$W/ftp" -u nobody
  conf smb.conf <<-END
	[global]
	workgroup = OFFICE
	netbios name = FILES1
	server string = files1
	map to guest = bad user
	private dir = $W/samba
	lock directory = $W/samba
	state directory = $W/samba
	cache directory = $W/samba
	pid directory = $W/samba
	ncalrpc dir = $W/samba
	disable spoolss = yes
	[pub]
	path = $W/ftp/pub
	guest ok = yes
	END
  mkdir -p "$W/samba" /run/samba
  serve files1 smbd smbd -F --no-process-group -s "$W/smb.conf" -l "$W/log"
  serve files1 nmbd nmbd -F --no-process-group -s "$W/smb.conf" -l "$W/log"
  conf vsftpd.conf <<-END
	listen=NO
	listen_ipv6=YES
	background=NO
	anonymous_enable=YES
	anon_root=$W/ftp
	idle_session_timeout=600
	secure_chroot_dir=$W/empty
	pasv_enable=YES
	seccomp_sandbox=NO
	END
  mkdir -p "$W/empty"
  serve files2 vsftpd vsftpd "$W/vsftpd.conf"
  git -c init.defaultBranch=main init -q --bare "$W/git/docs.git"
  GIT_AUTHOR_NAME=alice GIT_AUTHOR_EMAIL=alice@office.example GIT_COMMITTER_NAME=alice \
    GIT_COMMITTER_EMAIL=alice@office.example git -C "$W/git/docs.git" commit-tree -m start \
    4b825dc642cb6eb9a060e54bf8d69288fbee4904 >"$W/git/head" 2>&3 || true
  [ -s "$W/git/head" ] && git -C "$W/git/docs.git" update-ref refs/heads/main "$(cat "$W/git/head")"
  chmod -R a+rX "$W/git"
  serve files2 gitd git daemon --reuseaddr --export-all --base-path="$W/git" "$W/git"
  svnadmin create "$W/svn"
  serve files2 svnserve svnserve -d --foreground -r "$W/svn"
  serve files3 pureftpd pure-ftpd -e -A -c 100 -I 15 -S 21
}

shell_servers() {
  conf sshd.conf <<-END
	HostKey $W/hostkey
	PidFile none
	UsePAM no
	PasswordAuthentication yes
	UseDNS no
	MaxStartups 100
	PrintMotd no
	Subsystem sftp internal-sftp
	END
  local host
  for host in gw ssh1 web1 web2 mail1 mail2 db1 db2 files1 files2 chat1 mon1 ns1 ns2 voip1; do
    serve "$host" sshd /usr/sbin/sshd -D -e -f "$W/sshd.conf"
  done
  serve ssh1 dropbear dropbear -F -E -p 2222 -r "$W/dropbearkey"
  conf inetd.conf <<-END
	telnet stream tcp nowait root /usr/sbin/telnetd telnetd
	telnet stream tcp6 nowait root /usr/sbin/telnetd telnetd
	echo stream tcp nowait root internal
	echo dgram udp wait root internal
	daytime stream tcp nowait root internal
	time stream tcp nowait root internal
	discard stream tcp nowait root internal
	END
  serve ssh1 inetd inetutils-inetd -d "$W/inetd.conf"
}
