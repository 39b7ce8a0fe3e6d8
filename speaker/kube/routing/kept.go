package routing

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// kept is what the objects of a kind mean, by name. One that was changed so that it means
// nothing is what it was before, until it is mended or gone: whose routes are in use does
// not lose them for a slip, nor because what the object names is seen a moment later.
type kept[O client.Object, T any] map[string]T

// read returns what the objects mean, and tells wrong of those that mean nothing, and
// whether they stay as they were.
func (k *kept[O, T]) read(objects []O, parse func(O) (T, *apiconv.SpecError), wrong func(name string, stays bool, err error)) []T {
	next, list := kept[O, T]{}, make([]T, 0, len(objects))
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
