# Read pages over one kept-alive connection: reader.pl BASE SECONDS PAUSE.
use strict;
use warnings;
use LWP::UserAgent;

my ($base, $seconds, $pause) = @ARGV;
my $agent = LWP::UserAgent->new(keep_alive => 1, timeout => 10);
my $end = time + $seconds;
my $page = 0;
while (time < $end) {
    $page = $page % 24 + 1;
    $agent->get("$base/p$page.html");
    sleep $pause;
}
