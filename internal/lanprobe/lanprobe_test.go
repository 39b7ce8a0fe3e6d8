package lanprobe

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse_ReversesArgs(t *testing.T) {
	for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
		want := Request{Address: netip.MustParseAddr(address), Interfaces: []string{"eth0", "bond1"}}
		got, err := ParseArgs(want.Args()[1:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestParse_Refuses(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"nothing", "", "an address and 1 to 8 interfaces, not 0"},
		{"no interface", "192.0.2.1", "not 1"},
		{"too many interfaces", "192.0.2.1" + strings.Repeat(" eth0", MaxInterfaces+1), "not 10"},
		{"no address", "web eth0", `"web" is no IP address`},
		{"an address with a zone", "fe80::1%eth0 eth0", "a host cannot have the address"},
		{"an IPv4 address as IPv6", "::ffff:192.0.2.1 eth0", "a host cannot have the address"},
		{"a group", "224.0.0.1 eth0", "a host cannot have the address"},
		{"no address in particular", "0.0.0.0 eth0", "a host cannot have the address"},
	} {
		if _, err := ParseArgs(strings.Fields(tt.args)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got the error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// maxResult is what the kubelet reads of a termination message, in bytes.
const maxResult = 4096

func TestEncode_FitsIntoATerminationMessage(t *testing.T) {
	var r Result
	for i := range 1000 {
		mac := fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256)
		r.Answers = append(r.Answers, Answer{Interface: "<<<<<<<<<<<<<<<", HardwareAddress: mac, Via: mac})
		r.Problems = append(r.Problems, "enp0s31f6np1abc: "+strings.Repeat("<\x00\xff", 1000))
	}
	text, err := r.Encode()
	if err != nil || len(text) > maxResult {
		t.Fatalf("got %d bytes and the error %v, want %d at most", len(text), err, maxResult)
	}
	got, err := Decode(string(text))
	if err != nil || len(got.Answers) != MaxAnswers || len(got.Problems) != MaxInterfaces {
		t.Errorf("got %d answers, %d problems and the error %v", len(got.Answers), len(got.Problems), err)
	}
}

func TestEncode_ListsAHostOnceInOrder(t *testing.T) {
	x, y := Answer{Interface: "eth0", HardwareAddress: "02:00:00:00:00:01"}, Answer{Interface: "eth0", HardwareAddress: "02:00:00:00:00:02"}
	text, err := Result{Answers: []Answer{y, x, y}, Own: true}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(text))
	if diff := cmp.Diff(Result{Answers: []Answer{x, y}, Own: true}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestDecode_RefusesAnythingButAResult(t *testing.T) {
	if _, err := Decode(`unexpected argument "probe"`); err == nil || !strings.Contains(err.Error(), "no result of a probe") {
		t.Errorf("got the error %v", err)
	}
}

// TestDecode_IsBoundedAndPlain: any writer of the pod's status can write the result, which is printed on a terminal.
func TestDecode_IsBoundedAndPlain(t *testing.T) {
	strange := Result{Problems: []string{strings.Repeat("\x1b[2J", 1000)}}
	for range 1000 {
		strange.Answers = append(strange.Answers, Answer{Interface: "eth0\x1b[2J", HardwareAddress: strings.Repeat("\x07", 1000), Via: "\n"})
	}
	text, err := json.Marshal(strange)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(text))
	if err != nil || len(got.Answers) > MaxAnswers {
		t.Fatalf("got %d answers and the error %v", len(got.Answers), err)
	}
	words := got.Problems
	for _, a := range got.Answers {
		words = append(words, a.Interface, a.HardwareAddress, a.Via)
	}
	for _, w := range words {
		if len(w) > maxTextBytes || strings.ContainsFunc(w, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("got %q", w)
		}
	}
}
