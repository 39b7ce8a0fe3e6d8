package ipam

import "github.com/lbstack/lbstack/internal/lb"

// portSet has the ports that the Services which share an address use: bits in pages of 4096
// ports, by protocol. To look one up takes a few nanoseconds, whatever is in it, and it is
// smaller than the lists of the ports once these are long.
type portSet struct {
	count int
	pages [3][16]*[64]uint64
}

// bit returns where the bit of a port is. Its page is nil as long as no port of it was set.
func (s *portSet) bit(p lb.Port) (page **[64]uint64, word int, mask uint64) {
	protocol := 0
	switch p.Protocol {
	case "UDP":
		protocol = 1
	case "SCTP":
		protocol = 2
	}
	return &s.pages[protocol][p.Number>>12], int(p.Number >> 6 & 63), 1 << (p.Number & 63)
}

func (s *portSet) has(p lb.Port) bool {
	if s == nil {
		return false
	}
	page, word, mask := s.bit(p)
	return *page != nil && (*page)[word]&mask != 0
}

func (s *portSet) set(p lb.Port) {
	page, word, mask := s.bit(p)
	if *page == nil {
		*page = &[64]uint64{}
	}
	if (*page)[word]&mask == 0 {
		(*page)[word] |= mask
		s.count++
	}
}

func (s *portSet) clear(p lb.Port) {
	if s.has(p) {
		page, word, mask := s.bit(p)
		(*page)[word] &^= mask
		s.count--
	}
}

// len is how many ports are in the set; none in a nil one.
func (s *portSet) len() int {
	if s == nil {
		return 0
	}
	return s.count
}
