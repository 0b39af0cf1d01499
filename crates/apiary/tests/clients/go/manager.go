package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

var widgetKind = schema.GroupVersionKind{Group: "clients.apiary.test", Version: "v1", Kind: "Widget"}

const widgetFinalizer = "clients.apiary.test/widget"

// widgetDefinition is a kind with a status and a schema.
func widgetDefinition() *apiextensionsv1.CustomResourceDefinition {
	text := apiextensionsv1.JSONSchemaProps{Type: "string"}
	object := func(properties map[string]apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
		return apiextensionsv1.JSONSchemaProps{Type: "object", Properties: properties}
	}
	root := object(map[string]apiextensionsv1.JSONSchemaProps{
		"spec":   object(map[string]apiextensionsv1.JSONSchemaProps{"text": text}),
		"status": object(map[string]apiextensionsv1.JSONSchemaProps{"written": text, "observedGeneration": {Type: "integer"}}),
	})
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets." + widgetKind.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: widgetKind.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Kind: widgetKind.Kind},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &root},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}

func newWidget() *unstructured.Unstructured {
	widget := &unstructured.Unstructured{}
	widget.SetGroupVersionKind(widgetKind)
	return widget
}

// reconciler writes the text of a Widget into a ConfigMap that it owns.
type reconciler struct{ client.Client }

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	widget := newWidget()
	if err := r.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !widget.GetDeletionTimestamp().IsZero() {
		before := widget.DeepCopy()
		if !controllerutil.RemoveFinalizer(widget, widgetFinalizer) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, client.IgnoreNotFound(r.Patch(ctx, widget, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	}
	if before := widget.DeepCopy(); controllerutil.AddFinalizer(widget, widgetFinalizer) {
		return ctrl.Result{}, r.Patch(ctx, widget, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	}
	text, _, err := unstructured.NestedString(widget.Object, "spec", "text")
	if err != nil {
		return ctrl.Result{}, err
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace, Name: request.Name}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, owned, func() error {
		owned.Data = map[string]string{"text": text}
		return controllerutil.SetControllerReference(widget, owned, r.Scheme())
	}); err != nil {
		return ctrl.Result{}, err
	}
	before := widget.DeepCopy()
	status := map[string]any{"written": text, "observedGeneration": widget.GetGeneration()}
	widget.Object["status"] = status
	return ctrl.Result{}, r.Status().Patch(ctx, widget, client.MergeFrom(before))
}

// runManager starts a manager with leader election and takes a Widget through its life.
func runManager(ctx context.Context, config *rest.Config, namespace string) error {
	ctrl.SetLogger(zap.New(zap.UseDevMode(false)))
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	if err := define(ctx, direct); err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		LeaderElection: true, LeaderElectionID: "widgets", LeaderElectionNamespace: namespace, LeaderElectionReleaseOnCancel: true,
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
	})
	if err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(manager).For(newWidget()).Owns(&corev1.ConfigMap{}).Complete(&reconciler{manager.GetClient()}); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	err = lifeOfWidget(ctx, direct, namespace)
	stop()
	if endedWith := <-ended; err == nil {
		err = endedWith
	}
	if err == nil {
		err = direct.Delete(ctx, widgetDefinition())
	}
	return err
}

// define creates the definition and waits until it is served.
func define(ctx context.Context, direct client.Client) error {
	if err := direct.Create(ctx, widgetDefinition()); err != nil {
		return err
	}
	return await(ctx, "the definition being established", func() (bool, error) {
		definition := widgetDefinition()
		if err := direct.Get(ctx, client.ObjectKeyFromObject(definition), definition); err != nil {
			return false, err
		}
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensionsv1.Established {
				return condition.Status == apiextensionsv1.ConditionTrue, nil
			}
		}
		return false, nil
	})
}

func lifeOfWidget(ctx context.Context, direct client.Client, namespace string) error {
	widget := newWidget()
	widget.SetNamespace(namespace)
	widget.SetName("one")
	widget.Object["spec"] = map[string]any{"text": "hello"}
	if err := direct.Create(ctx, widget); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(widget)
	is := func(text string) func() (bool, error) {
		return func() (bool, error) {
			if err := direct.Get(ctx, key, widget); err != nil {
				return false, err
			}
			written, _, _ := unstructured.NestedString(widget.Object, "status", "written")
			observed, _, _ := unstructured.NestedInt64(widget.Object, "status", "observedGeneration")
			return written == text && observed == widget.GetGeneration(), nil
		}
	}
	owned := &corev1.ConfigMap{}
	show := func(what string) error {
		if err := direct.Get(ctx, key, owned); err != nil {
			return err
		}
		owner := metav1.GetControllerOf(owned)
		fmt.Printf("%s: generation %d, ConfigMap says %q and belongs to %s %s\n", what, widget.GetGeneration(), owned.Data["text"], owner.Kind, owner.Name)
		return nil
	}
	if err := await(ctx, "the first reconciliation", is("hello")); err != nil {
		return err
	}
	if err := show("created"); err != nil {
		return err
	}
	before := widget.DeepCopy()
	_ = unstructured.SetNestedField(widget.Object, "goodbye", "spec", "text")
	if err := direct.Patch(ctx, widget, client.MergeFrom(before)); err != nil {
		return err
	}
	if err := await(ctx, "the second reconciliation", is("goodbye")); err != nil {
		return err
	}
	if err := show("changed"); err != nil {
		return err
	}
	// What is owned comes back when somebody deletes it.
	uid := owned.UID
	if err := direct.Delete(ctx, owned); err != nil {
		return err
	}
	if err := await(ctx, "the ConfigMap coming back", func() (bool, error) {
		err := direct.Get(ctx, key, owned)
		return err == nil && owned.UID != uid, client.IgnoreNotFound(err)
	}); err != nil {
		return err
	}
	fmt.Println("repaired: the ConfigMap is back")
	if err := direct.Delete(ctx, widget); err != nil {
		return err
	}
	gone := func(object client.Object) func() (bool, error) {
		return func() (bool, error) {
			err := direct.Get(ctx, key, object)
			return apierrors.IsNotFound(err) || meta.IsNoMatchError(err), client.IgnoreNotFound(err)
		}
	}
	if err := await(ctx, "the Widget going", gone(widget)); err != nil {
		return err
	}
	if err := await(ctx, "garbage collection of the ConfigMap", gone(owned)); err != nil {
		return err
	}
	fmt.Println("deleted: nothing is left")
	return nil
}
