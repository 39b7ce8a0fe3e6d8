package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func full() bgp.Open {
	return bgp.Open{ASN: 4200000001, Hold: 30 * time.Second, RouterID: netip.MustParseAddr("10.0.0.1"), Capabilities: bgp.Capabilities{
		IPv4: true, IPv6: true, FourOctetASN: true, RouteRefresh: true, ExtendedNextHop: true,
		GracefulRestart: &bgp.GracefulRestart{Restarting: true, Time: 120 * time.Second, IPv4: true, IPv6: true},
	}}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	small := bgp.Open{ASN: 64512, RouterID: netip.MustParseAddr("10.0.0.1"), Capabilities: bgp.Capabilities{IPv6: true, FourOctetASN: true}}
	for name, tt := range map[string]struct {
		write func() ([]byte, error)
		want  any
	}{
		"an OPEN with everything": {func() ([]byte, error) { return EncodeOpen(full()) }, full()},
		"an OPEN with little":     {func() ([]byte, error) { return EncodeOpen(small) }, small},
		"a KEEPALIVE":             {EncodeKeepalive, session.Keepalive{}},
		"a NOTIFICATION": {func() ([]byte, error) { return EncodeNotification(bgp.NewCease(bgp.AdminShutdown, "bye")) },
			&bgp.Notification{Code: bgp.Cease, Subcode: bgp.AdminShutdown, Data: []byte("\x03bye")}},
		"an end of RIB": {func() ([]byte, error) { return EncodeEndOfRIB(lb.IPv6) }, session.Update{}},
	} {
		octets, err := tt.write()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := NewReader(bytes.NewReader(octets)).Read()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got, byValue, cmp.Transformer("empty", func(b []byte) string { return string(b) })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMessagesThatWentOutAreCounted(t *testing.T) {
	keepalive, err := EncodeKeepalive()
	if err != nil {
		t.Fatal(err)
	}
	end, err := EncodeEndOfRIB(lb.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	// More than go into one message.
	var prefixes []netip.Prefix
	for i := range 1000 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	updates, err := Encoding{ASN: 64512}.EncodeWithdrawals(lb.IPv4, prefixes)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		octets []byte
		want   [2]int // messages, UPDATEs
	}{
		"nothing":                       {nil, [2]int{0, 0}},
		"a KEEPALIVE":                   {keepalive, [2]int{1, 0}},
		"prefixes that fill an UPDATE":  {updates, [2]int{2, 2}},
		"several in one write":          {slices.Concat(keepalive, updates, end, keepalive), [2]int{5, 3}},
		"the last one was not finished": {slices.Concat(keepalive, end[:len(end)-1]), [2]int{1, 0}},
		"not even its header was":       {slices.Concat(end, keepalive[:17]), [2]int{1, 1}},
	} {
		messages, updates := CountMessages(tt.octets)
		if diff := cmp.Diff(tt.want, [2]int{messages, updates}); diff != "" {
			t.Errorf("%s: messages and UPDATEs (-want +got):\n%s", name, diff)
		}
	}
}

func TestARouterWithoutFamiliesMeansIPv4(t *testing.T) {
	m, err := packet.NewBGPOpenMessage(64513, 90, netip.MustParseAddr("10.0.0.2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := m.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewReader(bytes.NewReader(octets)).Read()
	want := bgp.Open{ASN: 64513, Hold: 90 * time.Second, RouterID: netip.MustParseAddr("10.0.0.2"), Capabilities: bgp.Capabilities{IPv4: true}}
	if diff := cmp.Diff(any(want), got, byValue); err != nil || diff != "" {
		t.Errorf("error %v, message (-want +got):\n%s", err, diff)
	}
}

func TestMalformedMessageIsRefusedWithTheNotification(t *testing.T) {
	marker := strings.Repeat("\xff", 16)
	for name, tt := range map[string]struct {
		octets string
		want   bgp.Notification
	}{
		"another marker":         {strings.Repeat("\x00", 16) + "\x00\x13\x04", bgp.Notification{Code: bgp.HeaderError, Subcode: 1}},
		"an unknown type":        {marker + "\x00\x13\x09", bgp.Notification{Code: bgp.HeaderError, Subcode: 3}},
		"too short a message":    {marker + "\x00\x12\x04", bgp.Notification{Code: bgp.HeaderError, Subcode: 2}},
		"too long a message":     {marker + "\x10\x01\x02", bgp.Notification{Code: bgp.HeaderError, Subcode: 2}},
		"a KEEPALIVE with more":  {marker + "\x00\x14\x04\x00", bgp.Notification{Code: bgp.HeaderError, Subcode: 2}},
		"an OPEN of version 3":   {marker + "\x00\x1d\x01\x03\x00\x01\x00\x5a\x0a\x00\x00\x01\x00", bgp.Notification{Code: bgp.OpenError, Subcode: 1}},
		"an OPEN with auth data": {marker + "\x00\x21\x01\x04\x00\x01\x00\x5a\x0a\x00\x00\x01\x04\x01\x02\x00\x00", bgp.Notification{Code: bgp.OpenError, Subcode: 4}},
	} {
		got, err := NewReader(strings.NewReader(tt.octets)).Read()
		m, is := got.(session.MalformedMessage)
		if err != nil || !is || m.Notification.Code != tt.want.Code || m.Notification.Subcode != tt.want.Subcode {
			t.Errorf("%s: got %+v and the error %v, want %s", name, got, err, tt.want)
		}
	}
	if _, err := NewReader(strings.NewReader(marker)).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a header: got the error %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// updates parses UPDATEs with GoBGP, as a router would.
func updates(t *testing.T, octets []byte, o *packet.MarshallingOption) (list []*packet.BGPUpdate) {
	t.Helper()
	for len(octets) > 0 {
		m, err := packet.ParseBGPMessage(octets, o)
		if err != nil {
			t.Fatal(err)
		}
		u := m.Body.(*packet.BGPUpdate)
		if m.Header.Len > maxMessageOctets {
			t.Errorf("an UPDATE of %d octets", m.Header.Len)
		}
		list = append(list, u)
		octets = octets[m.Header.Len:]
	}
	return list
}

func routesOf(u *packet.BGPUpdate) (words []string) {
	for _, a := range u.PathAttributes {
		words = append(words, a.String())
	}
	for _, n := range u.NLRI {
		words = append(words, n.NLRI.String())
	}
	for _, n := range u.WithdrawnRoutes {
		words = append(words, "-"+n.NLRI.String())
	}
	return words
}

func TestRoutesAreWrittenAsRoutersReadThem(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")
	rich := &routes.Attributes{
		LocalPref: routes.OptionalNumber{Value: 200, Set: true}, MED: routes.OptionalNumber{Value: 5, Set: true}, Prepend: 2,
		Communities: []routes.Community{64512<<16 | 7, routes.GracefulShutdown}, Large: []routes.LargeCommunity{{Global: 1, Local1: 2, Local2: 3}},
	}
	hop4, hop6, link := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("fe80::1%eth0")
	external := Encoding{ASN: 4200000001, FourOctetASN: true, NextHop4: NextHop{Address: hop4}, NextHop6: NextHop{Address: hop6, LinkLocal: link}}
	internal, old, extended := external, external, external
	internal.Internal = true
	old.FourOctetASN = false
	extended.NextHop4 = NextHop{Address: link}
	for name, tt := range map[string]struct {
		session    Encoding
		prefix     netip.Prefix
		attributes *routes.Attributes
		want       []string
	}{
		"IPv4 to an external router": {external, v4, rich, []string{"{Origin: i}", "{AsPath: 4200000001 4200000001 4200000001}", "{Med: 5}",
			"{Communities: 64512:7, planned-shut}", "{LargeCommunity: [ 1:2:3]}", "{Nexthop: 10.0.0.1}", "192.0.2.1/32"}},
		"IPv4 to an internal router": {internal, v4, rich, []string{"{Origin: i}", "{AsPath: }", "{Med: 5}", "{LocalPref: 200}",
			"{Communities: 64512:7, planned-shut}", "{LargeCommunity: [ 1:2:3]}", "{Nexthop: 10.0.0.1}", "192.0.2.1/32"}},
		"an internal router always gets a preference": {internal, v4, &routes.Attributes{}, []string{"{Origin: i}", "{AsPath: }", "{LocalPref: 100}", "{Nexthop: 10.0.0.1}", "192.0.2.1/32"}},
		"a router without long ASNs":                  {old, v4, &routes.Attributes{}, []string{"{Origin: i}", "{AsPath: 23456}", "4200000001", "{Nexthop: 10.0.0.1}", "192.0.2.1/32"}},
		"IPv6": {external, v6, &routes.Attributes{}, []string{"{MpReach(ipv6-unicast): {Nexthop: 2001:db8:1::1, NLRIs: [2001:db8::1/128:0]}}",
			"{Origin: i}", "{AsPath: 4200000001}"}},
		"IPv4 with an IPv6 next hop": {extended, v4, &routes.Attributes{}, []string{"{MpReach(ipv4-unicast): {Nexthop: fe80::1, NLRIs: [192.0.2.1/32:0]}}",
			"{Origin: i}", "{AsPath: 4200000001}"}},
	} {
		octets, err := tt.session.EncodeRoutes(lb.FamilyOf(tt.prefix.Addr()), []netip.Prefix{tt.prefix}, tt.attributes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list := updates(t, octets, tt.session.marshalOptions())
		if len(list) != 1 {
			t.Fatalf("%s: got %d UPDATEs, want 1", name, len(list))
		}
		if diff := cmp.Diff(tt.want, routesOf(list[0])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestManyRoutesShareMessages(t *testing.T) {
	s := Encoding{ASN: 64512, FourOctetASN: true, NextHop4: NextHop{Address: netip.MustParseAddr("10.0.0.1")}, NextHop6: NextHop{Address: netip.MustParseAddr("2001:db8::1")}}
	for _, first := range []string{"10.1.0.0", "2001:db8:1::"} {
		var want []string
		var prefixes []netip.Prefix
		for a := netip.MustParseAddr(first); len(prefixes) < 2000; a = a.Next() {
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
			want = append(want, prefixes[len(prefixes)-1].String())
		}
		f := lb.FamilyOf(prefixes[0].Addr())
		announced, err := s.EncodeRoutes(f, prefixes, &routes.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
		withdrawn, err := s.EncodeWithdrawals(f, prefixes)
		if err != nil {
			t.Fatal(err)
		}
		for name, octets := range map[string][]byte{"announced": announced, "withdrawn": withdrawn} {
			list := updates(t, octets, s.marshalOptions())
			var got []string
			for _, u := range list {
				got = append(got, prefixesOf(u)...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", f, name, diff)
			}
			if len(list) > 20 {
				t.Errorf("%s %s: got %d UPDATEs for 2000 routes, want few", f, name, len(list))
			}
		}
	}
}

func prefixesOf(u *packet.BGPUpdate) (list []string) {
	add := func(nlris []packet.PathNLRI) {
		for _, n := range nlris {
			list = append(list, n.NLRI.String())
		}
	}
	add(u.NLRI)
	add(u.WithdrawnRoutes)
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			add(a.Value)
		case *packet.PathAttributeMpUnreachNLRI:
			add(a.Value)
		}
	}
	return list
}

// As many attributes as a dozen advertisements may add fit beside the prefixes.
func TestManyAttributesFit(t *testing.T) {
	a := &routes.Attributes{Prepend: 10}
	for i := range 32 * 4 { // of several advertisements together
		a.Communities = append(a.Communities, routes.Community(i))
		a.Large = append(a.Large, routes.LargeCommunity{Global: uint32(i)})
	}
	s := Encoding{ASN: 64512, FourOctetASN: true, NextHop4: NextHop{Address: netip.MustParseAddr("10.0.0.1")}}
	var prefixes []netip.Prefix
	for i := range 1000 {
		prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	octets, err := s.EncodeRoutes(lb.IPv4, prefixes, a)
	if err != nil {
		t.Fatal(err)
	}
	if list := updates(t, octets, s.marshalOptions()); len(list) < 2 {
		t.Errorf("got %d UPDATEs, want some", len(list))
	}
	for i := range 1000 {
		a.Communities = append(a.Communities, routes.Community(i))
	}
	if _, err := s.EncodeRoutes(lb.IPv4, prefixes, a); err == nil || !strings.Contains(err.Error(), "fewer communities") {
		t.Errorf("more than fits: got the error %v, want one with the remedy", err)
	}
}

func FuzzReader(f *testing.F) {
	for _, write := range []func() ([]byte, error){
		func() ([]byte, error) { return EncodeOpen(full()) }, EncodeKeepalive, func() ([]byte, error) { return EncodeEndOfRIB(lb.IPv6) },
		func() ([]byte, error) { return EncodeNotification(bgp.NewCease(bgp.AdminReset, "again")) },
	} {
		octets, err := write()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		r := NewReader(bytes.NewReader(octets))
		for {
			message, err := r.Read()
			if err != nil {
				return
			}
			switch m := message.(type) {
			case session.MalformedMessage:
				_ = m.Notification.String()
				return
			case *bgp.Notification:
				_ = m.String()
			case bgp.Open:
				if !m.RouterID.Is4() {
					t.Errorf("an OPEN with the identifier %s", m.RouterID)
				}
				if _, err := EncodeOpen(m); err != nil {
					t.Errorf("writing %s: %v", fmt.Sprint(m), err)
				}
			}
		}
	})
}
