package routing

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// lastValid has the last valid version of each object of a kind, parsed, by name. An edit that makes an
// object invalid leaves that version in effect until the object is corrected or deleted. So routes are
// not withdrawn because of a typo, or of a reference to an object that is created later.
type lastValid[O client.Object, T any] map[string]T

// read returns the parsed objects. It calls wrong for each invalid object. stays means that the last
// valid version of this object stays in effect.
func (k *lastValid[O, T]) read(objects []O, parse func(O) (T, *apiconv.SpecError), wrong func(name string, stays bool, err error)) []T {
	next, list := lastValid[O, T]{}, make([]T, 0, len(objects))
	for _, object := range objects {
		name := object.GetName()
		is, err := parse(object)
		if err != nil {
			before, stays := (*k)[name]
			wrong(name, stays, err)
			if !stays {
				continue
			}
			is = before
		}
		next[name] = is
		list = append(list, is)
	}
	*k = next
	return list
}
