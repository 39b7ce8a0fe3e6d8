package mesh

import (
	"math/rand/v2"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// mostRecorded is how many of the datagrams that arrived an attacker has. Lost datagrams are not recorded: a lost
// datagram that is sent again is like a late one, since its sender did send it.
const mostRecorded = 4096

// record stores a datagram that has arrived, in place of a random older one. The caller holds the lock.
func (w *world) record(rng *rand.Rand, d datagram) {
	if len(w.recorded) < mostRecorded {
		w.recorded = append(w.recorded, d)
		return
	}
	w.recorded[rng.IntN(mostRecorded)] = d
}

// replayAlways sends recorded datagrams again until the world ends: to the same or another receiver,
// from the address of the same or another sender.
func (w *world) replayAlways(rng *rand.Rand) {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(time.Duration(1+rng.IntN(40)) * time.Millisecond):
		}
		w.mu.Lock()
		var d datagram
		if len(w.recorded) > 0 {
			d = w.recorded[rng.IntN(len(w.recorded))]
			if rng.IntN(3) == 0 {
				d.to = w.names[rng.IntN(len(w.names))]
			}
			if rng.IntN(5) == 0 {
				d.from = w.names[rng.IntN(len(w.names))]
			}
		}
		w.mu.Unlock()
		if d.from != d.to {
			w.deliver(d, true)
		}
	}
}

// parted returns whether a cut, a wall or different keys separate speakers. The caller holds the lock.
func (w *world) parted() bool {
	return w.cutOrWalled() || time.Now().Before(w.rekeyed)
}

// cutOrWalled returns whether there is a cut or a wall. The caller holds the lock.
func (w *world) cutOrWalled() bool { return len(w.cuts)+len(w.walls)+len(w.second.cuts) > 0 }

// rotateFor is how long it takes until all nodes have a new key.
const rotateFor = 4 * time.Second

// rotate replaces the key. Each node gets the new key at a random time. If both is set, all nodes
// accept both keys before the first node drops the old key. Otherwise no node ever accepts both, and
// nodes with different keys are separated as by a wall.
func (w *world) rotate(rng *rand.Rand, both bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.key++
	w.rotated = time.Now().Add(2 * rotateFor)
	before, next := simulatedKey(w.key-1), simulatedKey(w.key)
	soon := func() time.Duration { return time.Duration(rng.Int64N(int64(rotateFor))) }
	for _, name := range w.names {
		if both {
			time.AfterFunc(soon(), func() { w.setKeys(name, next, before) })
			time.AfterFunc(rotateFor+soon(), func() { w.setKeys(name, next) })
		} else {
			time.AfterFunc(soon(), func() { w.setKeys(name, next) })
		}
	}
	if !both {
		w.fault, w.split, w.rekeyed = time.Now(), time.Now(), time.Now().Add(rotateFor)
		time.AfterFunc(rotateFor, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.fault, w.split, w.healed = time.Now(), time.Now(), time.Now()
		})
	}
	w.note("key %d replaces the one before, accepted side by side: %v", w.key, both)
}

// setKeys replaces the content of the Secret on a node.
func (w *world) setKeys(name lb.NodeName, keys ...session.Key) {
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return
	}
	w.keys[name] = keys
	w.note("%s has %d keys", name, len(keys))
	if !w.rekeyed.Before(time.Now()) {
		w.split, w.fault = time.Now(), time.Now()
	}
	p := w.nodes[name].p
	w.mu.Unlock()
	if p != nil {
		p.takeKeys()
	}
}

// takeKeys has a process use the keys of its node.
func (p *process) takeKeys() {
	p.gate()
	p.n.w.mu.Lock()
	keys, dead := p.n.w.keys[p.n.name], p.dead
	p.n.w.mu.Unlock()
	if dead {
		return
	}
	p.runner.SetKeys(keys)
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	p.keys = nil
	for _, key := range keys {
		p.keys = append(p.keys, idOf(key))
	}
}

// outage cuts all nodes from the API server, or connects all of them again.
func (w *world) outage(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("the API server is away: %v", is)
	for _, name := range w.names {
		w.noAPI[name] = is
		if p := w.nodes[name].p; !is && p != nil && !p.dead {
			w.inform(p, 50*time.Millisecond)
			p.write()
		}
	}
	w.fault, w.split, w.attached = time.Now(), time.Now(), time.Now()
}

// lose has a node lose its disk.
func (w *world) lose(name lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s loses its disk", name)
	w.nodes[name].kept, w.nodes[name].stored = layer2.Checkpoint{}, nil
}

// restartAll has all speakers crash at once and start again, each within 0.3 s of the one before.
func (w *world) restartAll(rng *rand.Rand) {
	for _, name := range w.names {
		w.crash(name, false)
	}
	for _, i := range rng.Perm(len(w.names)) {
		w.pass(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
		w.run(w.names[i])
	}
	w.differ()
}
