package mesh

import (
	"time"

	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// assembly has the pieces of a state that have arrived from a peer, while further pieces are missing.
type assembly struct {
	about    *peer // the peer that published the state; nil: there is no assembly
	instance wire.Instance
	sequence uint64
	pieces   [][]byte
	have     int       // number of pieces received
	size     int       // bytes
	at       time.Time // when the latest piece came
}

// isFresh reports whether a piece of the given state came less than half a heartbeat interval ago. Then
// further pieces may still be on their way.
func (a *assembly) isFresh(now time.Time, about *peer, sequence uint64, interval time.Duration) bool {
	return a.about == about && a.sequence == sequence && now.Sub(a.at) < interval/2
}

// missingPieces returns the indices of the pieces of a state that have not come yet, at most
// wire.MaxMissingPieces of them. It returns nil if no piece has come.
func (a *assembly) missingPieces(about *peer, sequence uint64) []uint16 {
	if a.about != about || a.sequence != sequence {
		return nil
	}
	var missing []uint16
	for i, data := range a.pieces {
		if data == nil && len(missing) < wire.MaxMissingPieces {
			missing = append(missing, uint16(i))
		}
	}
	return missing
}

// dropAssembly drops the incomplete state that a peer sends.
func (m *Machine) dropAssembly(p *peer) {
	m.assembling -= p.assembly.size
	p.assembly = assembly{}
}

// receivePiece handles a piece of a state that a peer sent: of its own state, or of the state of a
// third speaker from which this speaker receives nothing.
func (m *Machine) receivePiece(now time.Time, from *peer, msg *wire.Message) {
	piece := &msg.Piece
	about, instance, sequence := from, from.instance, msg.Sequence
	if piece.About != 0 {
		if about = m.byID[piece.About]; about == nil || piece.Instance == about.replaced || !m.takesFromOthers(now, about, piece.Back > 0) {
			return
		}
		instance, sequence, about.want = piece.Instance, piece.Sequence, wantedState{}
		if piece.Back > 0 && about.ended == (ackedState{instance, sequence}) && !from.began.After(about.endedAt) {
			return // this speaker counts the peer as dead: its restart took too long, or the kernel of its node does not answer
		}
	} else if m.checking && msg.Nonce == m.nonce && msg.Sequence == from.sequence && from.nonce != m.nonce {
		from.nonce = m.nonce
		m.version++
	}
	if instance == about.instance && (sequence < about.sequence || sequence == about.sequence && (about.live || about == from)) {
		return
	}
	pieces := m.assemble(now, from, about, instance, sequence, piece)
	if pieces == nil {
		return
	}
	state, err := wire.JoinState(pieces)
	if err != nil {
		m.malformed++
		return
	}
	state.Back = piece.Back
	if about == from && m.checking && msg.Nonce == m.nonce {
		from.nonce = m.nonce
	}
	m.learnState(now, about, instance, sequence, state)
	if about != from && (about.dead || !about.isRestarting()) {
		about.suspected = now // this speaker receives nothing from it: it stays alive only if another watcher refutes the suspicion
	}
}

// takesFromOthers reports whether this speaker accepts the state of a peer from other speakers. The
// peer itself must be silent. In addition, the peer must be alive or restarting, or must not be suspected
// by any other speaker. During a restart suspicions do not matter: a restarting peer sends nothing, and a
// suspicion may have begun earlier, while the path to the peer was cut.
func (m *Machine) takesFromOthers(now time.Time, p *peer, restarts bool) bool {
	silent := !p.met || !p.suspected.IsZero() || now.Sub(p.received) >= m.suspectTimeout(p) || m.checking && m.owesAnswer(p)
	suspicions, _ := m.countSuspicions(now, p)
	return silent && (p.live || restarts || suspicions == 0)
}

// assemble adds a piece of a state. It returns all pieces of the state once none is missing.
func (m *Machine) assemble(now time.Time, from, about *peer, instance wire.Instance, sequence uint64, piece *wire.Piece) [][]byte {
	if piece.Count == 1 {
		return [][]byte{piece.Data}
	}
	a := &from.assembly
	if a.about != about || a.instance != instance || a.sequence != sequence || len(a.pieces) != piece.Count {
		if a.about == about && a.instance == instance && a.sequence > sequence {
			return nil // the piece is of an older state
		}
		m.dropAssembly(from)
		*a = assembly{about: about, instance: instance, sequence: sequence, at: now}
		if !m.reserveMemory(now, from, piece.Count*sliceBytes) {
			return nil
		}
		a.pieces = make([][]byte, piece.Count)
		m.noteUnknown(from)
	}
	a.at = now
	if a.pieces[piece.Index] != nil || !m.reserveMemory(now, from, len(piece.Data)) {
		return nil
	}
	a.pieces[piece.Index] = append([]byte{}, piece.Data...)
	a.have++
	if a.have < len(a.pieces) {
		return nil
	}
	pieces := a.pieces
	m.dropAssembly(from)
	return pieces
}

// sliceBytes is the memory that a piece takes besides its data, in bytes.
const sliceBytes = 24

// reserveMemory counts memory for the assembly of a peer. If all assemblies together would exceed
// maxAssemblyBytes, it first drops each assembly that has got no piece for m.timing.Timeout. If that is
// not enough, it drops the assembly of this peer, and returns false.
func (m *Machine) reserveMemory(now time.Time, from *peer, bytes int) bool {
	if m.assembling+bytes > maxAssemblyBytes {
		for _, p := range m.peers {
			if now.Sub(p.assembly.at) >= m.timing.Timeout {
				m.dropAssembly(p)
			}
		}
	}
	if m.assembling+bytes > maxAssemblyBytes {
		m.dropAssembly(from)
		return false
	}
	from.assembly.size += bytes
	m.assembling += bytes
	return true
}

// learnState accepts a complete state of a peer. The peer itself or another peer has sent it.
func (m *Machine) learnState(now time.Time, p *peer, instance wire.Instance, sequence uint64, s wire.State) {
	if instance != p.instance {
		m.renewInstance(now, p, instance)
	}
	p.sequence, p.starting = sequence, s.Phase == ownership.Starting
	if s.Phase != ownership.Starting || !p.live {
		m.setState(p, p.live, s)
		p.back = now.Add(s.Back)
	}
	if !p.live && !p.isOverdue(now) {
		m.revive(now, p)
	}
	m.noteLatest(p)
	m.version++
}
