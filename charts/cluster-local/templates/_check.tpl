{{/* What the schema cannot say: values that do not fit together. */}}

{{- define "cluster-local.check" -}}
{{- $name := include "cluster-local.name" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- fail (printf "global.metadata.name (or the name of the release) is %q: it must begin with a letter, have only lower case letters, digits and dashes, and at most 40 characters" $name) -}}
{{- end -}}
{{- $organization := .Values.global.metadata.organization -}}
{{- if and $organization (ne .Release.Namespace (printf "org-%s" $organization)) -}}
{{- fail (printf "global.metadata.organization is %q, but the release is in namespace %q: install it into namespace %q" $organization .Release.Namespace (printf "org-%s" $organization)) -}}
{{- end -}}
{{- $version := .Values.global.release.kubernetesVersion -}}
{{- if semverCompare "<1.32.0" $version -}}
{{- fail (printf "global.release.kubernetesVersion is %s: it must be v1.32.0 or newer, older API servers cannot restrict who is anonymous" $version) -}}
{{- end -}}
{{- $domains := .Values.global.providerSpecific.failureDomains -}}
{{- range .Values.global.controlPlane.failureDomains -}}
{{- if not (has . $domains) -}}
{{- fail (printf "global.controlPlane.failureDomains names %q: global.providerSpecific.failureDomains has only %s" . (join ", " $domains)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.global.controlPlane.oidc -}}
{{- if and .issuerUrl (not .clientId) -}}
{{- fail "global.controlPlane.oidc.clientId is empty: it must be the client that tokens of global.controlPlane.oidc.issuerUrl are for" -}}
{{- end -}}
{{- if and .clientId (not .issuerUrl) -}}
{{- fail "global.controlPlane.oidc.issuerUrl is empty: it must be the issuer of the tokens for global.controlPlane.oidc.clientId" -}}
{{- end -}}
{{- if and .issuerUrl (not .usernameClaim) -}}
{{- fail "global.controlPlane.oidc.usernameClaim is empty: it must be the claim that names the user, such as email or sub" -}}
{{- end -}}
{{- end -}}
{{- include "cluster-local.check.labels" (dict "path" "global.controlPlane.customNodeLabels" "labels" .Values.global.controlPlane.customNodeLabels) -}}
{{- range $pool, $values := include "cluster-local.pools" . | fromYaml -}}
{{- include "cluster-local.check.pool" (dict "path" (printf "global.nodePools.%s" $pool) "name" $pool "pool" $values "version" $version "domains" $domains) -}}
{{- end -}}
{{- end -}}

{{- define "cluster-local.check.pool" -}}
{{- if eq .name "control-plane" -}}
{{- fail (printf "%s: no pool may be called control-plane, whose objects these are" .path) -}}
{{- end -}}
{{- $domain := .pool.failureDomain -}}
{{- if and $domain (not (has $domain .domains)) -}}
{{- fail (printf "%s.failureDomain is %q: global.providerSpecific.failureDomains has only %s" .path $domain (join ", " .domains)) -}}
{{- end -}}
{{- $own := .pool.kubernetesVersion | default .version -}}
{{- if semverCompare (printf ">%s" .version) $own -}}
{{- fail (printf "%s.kubernetesVersion is %s: it must not be newer than the control plane, which has %s" .path $own .version) -}}
{{- end -}}
{{- $behind := sub (semver .version).Minor (semver $own).Minor -}}
{{- if gt $behind 3 -}}
{{- fail (printf "%s.kubernetesVersion is %s: kubelets may be three minor versions behind the control plane, which has %s" .path $own .version) -}}
{{- end -}}
{{- $has := dict "minSize" (hasKey .pool "minSize") "maxSize" (hasKey .pool "maxSize") -}}
{{- if ne $has.minSize $has.maxSize -}}
{{- fail (printf "%s needs both minSize and maxSize, or replicas alone" .path) -}}
{{- end -}}
{{- if and $has.minSize (hasKey .pool "replicas") -}}
{{- fail (printf "%s has replicas, minSize and maxSize: the number of machines is either yours or the autoscaler's" .path) -}}
{{- end -}}
{{- if $has.minSize -}}
{{- if gt (int .pool.minSize) (int .pool.maxSize) -}}
{{- fail (printf "%s.minSize %v must not be greater than maxSize %v" .path .pool.minSize .pool.maxSize) -}}
{{- end -}}
{{- end -}}
{{- include "cluster-local.check.labels" (dict "path" (printf "%s.customNodeLabels" .path) "labels" (.pool.customNodeLabels | default list)) -}}
{{- end -}}

{{/* A kubelet may not give its own node labels of Kubernetes, but for a few. */}}
{{- define "cluster-local.check.labels" -}}
{{- $path := .path -}}
{{- range .labels -}}
{{- $key := splitList "=" . | first -}}
{{- $domain := ternary (splitList "/" $key | first) "" (contains "/" $key) -}}
{{- if and (regexMatch "(^|\\.)(kubernetes|k8s)\\.io$" $domain) (not (regexMatch "(^|\\.)(node|kubelet)\\.kubernetes\\.io$" $domain)) (not (regexMatch "(^|\\.)node\\.cluster\\.x-k8s\\.io$" $domain)) -}}
{{- fail (printf "%s has %q: a kubelet may not give its node a label of %s" $path . $domain) -}}
{{- end -}}
{{- end -}}
{{- end -}}
