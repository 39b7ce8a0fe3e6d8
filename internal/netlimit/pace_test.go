package netlimit

import (
	"net/netip"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	type flood struct {
		sources int
		each    int // connections a second of each source
	}
	for name, tt := range map[string]struct {
		perSecond  int
		flood      flood
		want, most int // served of the flood in the second second
		probe      time.Duration
		probed     bool // a source that connects once in that time is always served
	}{
		"no bound":                                   {0, flood{1, 5000}, 5000, 5000, 500 * time.Millisecond, true},
		"flood below the rate is served":             {100, flood{1, 90}, 90, 90, 500 * time.Millisecond, true},
		"flood of one source is cut to the rate":     {100, flood{1, 5000}, 99, 101, time.Second, true},
		"flood of many sources is cut to the rate":   {100, flood{2000, 2}, 99, 101, 0, false},
		"sources that rest are served, to a bound":   {100, flood{5000, 1}, 100, 100 + slotCount, 0, false},
		"source that does not rest counts as others": {1, flood{1, 5000}, 0, 2, 100 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newConnPacer(tt.perSecond)
			at := func(i int) netip.Prefix {
				return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
			}
			kubelet := netip.MustParsePrefix("192.0.2.1/32")
			for p.slot(kubelet) == p.slot(at(0)) {
				p = newConnPacer(tt.perSecond) // sources that share a slot are the exception
			}
			start, served, refused := time.Unix(0, 0), 0, 0
			total := tt.flood.sources * tt.flood.each
			next := time.Duration(0)
			for i := range 3 * total {
				after := time.Duration(i) * time.Second / time.Duration(total)
				if p.admit(at(i%tt.flood.sources), start.Add(after)) && after >= time.Second && after < 2*time.Second {
					served++
				}
				if tt.probe > 0 && after >= next {
					next = after + tt.probe
					if !p.admit(kubelet, start.Add(after)) {
						refused++
					}
				}
			}
			if served < tt.want-1 || served > tt.most {
				t.Errorf("served %d of %d connections of the flood, want %d to %d", served, total, tt.want, tt.most)
			}
			if (refused == 0) != (tt.probed || tt.probe == 0) {
				t.Errorf("refused %d connections of the source that connects every %s, want none: %t", refused, tt.probe, tt.probed)
			}
		})
	}
}
