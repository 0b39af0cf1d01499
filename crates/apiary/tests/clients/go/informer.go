package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// log collects what handlers saw, in order.
type log struct {
	sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.Lock()
	defer l.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) text() string {
	l.Lock()
	defer l.Unlock()
	return strings.Join(l.lines, ", ")
}

// informer follows the ConfigMaps of a namespace by a label while they come, change, leave the selection and go.
func informer(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(namespace)
	make := func(name string) error {
		labels := map[string]string{"story": "informer"}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"step": "made"}}
		_, err := maps.Create(ctx, object, metav1.CreateOptions{})
		return err
	}
	if err := make("before"); err != nil {
		return err
	}
	seen, metas := &log{}, &log{}
	selected := func(options *metav1.ListOptions) { options.LabelSelector = "story=informer" }
	factory := informers.NewSharedInformerFactoryWithOptions(client, time.Hour,
		informers.WithNamespace(namespace), informers.WithTweakListOptions(selected))
	shared := factory.Core().V1().ConfigMaps()
	if _, err := shared.Informer().AddEventHandler(handler(seen)); err != nil {
		return err
	}
	metaClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	metaFactory := metadatainformer.NewFilteredSharedInformerFactory(metaClient, time.Hour, namespace, selected)
	metaInformer := metaFactory.ForResource(corev1.SchemeGroupVersion.WithResource("configmaps"))
	if _, err := metaInformer.Informer().AddEventHandler(handler(metas)); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	metaFactory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), shared.Informer().HasSynced, metaInformer.Informer().HasSynced) {
		return fmt.Errorf("the informers did not sync: %w", ctx.Err())
	}
	fmt.Println("synced with", names(shared.Lister().ConfigMaps(namespace).List(labels.Everything())))

	patch := func(name, patch string) error {
		_, err := maps.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	steps := []func() error{
		func() error { return make("a") },
		func() error { return make("b") },
		func() error { return patch("a", `{"data":{"step":"changed"}}`) },
		func() error { return patch("b", `{"metadata":{"labels":{"story":"other"}}}`) },
		func() error { return patch("b", `{"metadata":{"labels":{"story":"informer"}}}`) },
		func() error { return maps.Delete(ctx, "before", metav1.DeleteOptions{}) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	const expected = "add before, add a, add b, update a, delete b, add b, delete before"
	for _, who := range []*log{seen, metas} {
		if err := await(ctx, "seeing all events", func() (bool, error) { return who.text() == expected, nil }); err != nil {
			return fmt.Errorf("%w; seen: %s", err, who.text())
		}
	}
	fmt.Println("objects: ", seen.text())
	fmt.Println("metadata:", metas.text())
	fmt.Println("left with", names(shared.Lister().ConfigMaps(namespace).List(labels.Everything())))
	return nil
}

func handler(seen *log) cache.ResourceEventHandler {
	name := func(object any) string {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		return object.(metav1.Object).GetName()
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { seen.add("add " + name(object)) },
		UpdateFunc: func(_, object any) { seen.add("update " + name(object)) },
		DeleteFunc: func(object any) { seen.add("delete " + name(object)) },
	}
}

func names(objects []*corev1.ConfigMap, err error) string {
	if err != nil {
		return err.Error()
	}
	all := []string{}
	for _, object := range objects {
		all = append(all, object.Name)
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}
