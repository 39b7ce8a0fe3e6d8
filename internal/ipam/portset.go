package ipam

import "github.com/lbstack/lbstack/internal/lb"

// portSet is the set of the ports that the holders of a shared address use. Each port is a bit in a page
// of 4096 ports of a protocol. A look-up takes a few nanoseconds with any number of ports. For many
// ports, a portSet needs less memory than lists of the ports.
type portSet struct {
	count int
	pages [3][16]*[64]uint64
}

// bit returns the page, the word and the mask of a port's bit. *page is nil until a port of
// the page is set.
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

// len returns the number of ports. A nil set is empty.
func (s *portSet) len() int {
	if s == nil {
		return 0
	}
	return s.count
}
