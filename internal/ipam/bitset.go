package ipam

import "math/bits"

// bitset is a set of numbers below 2^36 that finds its lowest number in constant time. Level 0 has a bit
// for each number. Each bit of a higher level represents 64 bits of the level below, and is set if at
// least one of these is set.
type bitset [6][]uint64

func (b *bitset) set(i uint64) {
	for l := range b {
		for uint64(len(b[l])) <= i/64 {
			b[l] = append(b[l], 0)
		}
		was := b[l][i/64]
		b[l][i/64] = was | 1<<(i%64)
		if was != 0 {
			return
		}
		i /= 64
	}
}

func (b *bitset) clear(i uint64) {
	for l := range b {
		if uint64(len(b[l])) <= i/64 {
			return
		}
		b[l][i/64] &^= 1 << (i % 64)
		if b[l][i/64] != 0 {
			return
		}
		i /= 64
	}
}

// lowest returns the lowest number of the set, if there is one.
func (b *bitset) lowest() (i uint64, ok bool) {
	if top := b[len(b)-1]; len(top) == 0 || top[0] == 0 {
		return 0, false
	}
	for l := len(b) - 1; l >= 0; l-- {
		i = i*64 + uint64(bits.TrailingZeros64(b[l][i]))
	}
	return i, true
}
