package config

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/validity"
)

func TestReconcile_WritesAndRecordsOnce(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 3}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(object).Build()
	recorder := events.NewFakeRecorder(10)
	result := validity.Result{Reason: "Bad", Message: "it is invalid"}
	r := &Reconciler[*v1beta1.Community]{
		Client: c, Events: recorder, Kind: "Community", Action: "Check",
		Status: func(o *v1beta1.Community) StatusFields {
			return StatusFields{&o.Status.ObservedGeneration, &o.Status.Conditions}
		},
		Check: func(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.Community], error) {
			var list v1beta1.CommunityList
			err := reader.List(ctx, &list)
			return []CheckedObject[*v1beta1.Community]{{Object: &list.Items[0], Result: result}}, err
		},
	}
	read := func() *v1beta1.Community {
		got := &v1beta1.Community{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	var versions []string
	look := func() *v1beta1.Community {
		if _, err := r.Reconcile(t.Context(), request.AllObjects); err != nil {
			t.Fatal(err)
		}
		got := read()
		versions = append(versions, got.ResourceVersion)
		return got
	}
	first := look()
	if ready := meta.FindStatusCondition(first.Status.Conditions, v1beta1.ConditionReady); ready == nil || ready.Status != metav1.ConditionFalse ||
		ready.Reason != "Bad" || ready.Message != "it is invalid" || ready.ObservedGeneration != 3 || first.Status.ObservedGeneration != 3 {
		t.Errorf("status: got %+v", first.Status)
	}
	second := look()
	if r.specOrStatusChanged().Update(event.UpdateEvent{ObjectOld: first, ObjectNew: second}) {
		t.Error("an object that has not changed is looked at, want not")
	}
	result = validity.Result{Ready: true, Reason: "Good", Message: "it is fine"}
	third := look()
	if !r.specOrStatusChanged().Update(event.UpdateEvent{ObjectOld: second, ObjectNew: third}) {
		t.Error("a status that was edited is not looked at, want it put right")
	}
	if versions[0] != versions[1] || versions[1] == versions[2] {
		t.Errorf("versions after each look: got %v, want the second as the first", versions)
	}
	var recorded []string
	for len(recorder.Events) > 0 {
		recorded = append(recorded, <-recorder.Events)
	}
	if diff := cmp.Diff([]string{"Warning Bad it is invalid", "Normal Good it is fine"}, recorded); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReconcile_RestoresWithBackoff(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		object := &v1beta1.Community{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "1", Generation: 3}}
		c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(object).Build()
		r := &Reconciler[*v1beta1.Community]{
			Client: c, Events: events.NewFakeRecorder(100), Kind: "Community",
			Status: func(o *v1beta1.Community) StatusFields {
				return StatusFields{&o.Status.ObservedGeneration, &o.Status.Conditions}
			},
			Check: func(ctx context.Context, reader client.Reader) ([]CheckedObject[*v1beta1.Community], error) {
				var list v1beta1.CommunityList
				err := reader.List(ctx, &list)
				return []CheckedObject[*v1beta1.Community]{{Object: &list.Items[0], Result: validity.Result{Ready: true, Reason: "Good"}}}, err
			},
		}
		var writes []time.Duration
		for start := time.Now(); time.Since(start) < time.Minute; {
			result, err := r.Reconcile(t.Context(), request.AllObjects)
			if err != nil {
				t.Fatal(err)
			}
			got := &v1beta1.Community{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), got); err != nil {
				t.Fatal(err)
			}
			if len(got.Status.Conditions) > 0 {
				writes = append(writes, time.Since(start))
				got.Status.Conditions = nil
				if err := c.Status().Update(t.Context(), got); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(max(result.RequeueAfter, 10*time.Millisecond))
		}
		if len(writes) < 5 || len(writes) > 20 {
			t.Fatalf("in a minute: got %d writes, want 5 to 20", len(writes))
		}
		if writes[1] > 10*time.Millisecond {
			t.Errorf("the first time it was undone: got it restored after %v, want at the next look", writes[1])
		}
	})
}
