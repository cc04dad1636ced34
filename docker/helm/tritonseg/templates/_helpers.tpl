{{- define "tritonseg.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "tritonseg.selector" -}}
app.kubernetes.io/name: tritonseg
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tritonseg.labels" -}}
{{ include "tritonseg.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* An image's name, or a refusal that says which value is missing. */}}
{{- define "tritonseg.image" -}}
{{- $image := index . 0 -}}
{{- $value := index . 1 -}}
{{- if not $image.repository }}{{ fail (printf "%s.repository is not set: give the image that you built and pushed" $value) }}{{ end -}}
{{- $image.repository }}{{ if $image.tag }}{{ printf (ternary "@%s" ":%s" (hasPrefix "sha256:" $image.tag)) $image.tag }}{{ end }}
{{- end -}}

{{- define "tritonseg.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "tritonseg.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end -}}
{{- end -}}

{{- define "tritonseg.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "tritonseg.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Models are copied to the node where they are fetched or built; elsewhere they are the source. */}}
{{- define "tritonseg.copiesModels" -}}
{{- if or .Values.build.enabled (eq .Values.source.type "bucket") }}yes{{ end -}}
{{- end -}}

{{- define "tritonseg.sourceMount" -}}
name: {{ if eq .Values.source.type "bucket" }}{{ ternary "fetched" "models" .Values.build.enabled }}{{ else }}source{{ end }}
{{- if and (eq .Values.source.type "pvc") .Values.source.pvc.subPath }}
subPath: {{ .Values.source.pvc.subPath }}
{{- else if and (eq .Values.source.type "image") .Values.source.image.subPath }}
subPath: {{ .Values.source.image.subPath }}
{{- end }}
{{- end -}}

{{/* The words behind the image's entrypoint. */}}
{{- define "tritonseg.arguments" -}}
{{- $words := concat .Values.models .Values.serveOptions -}}
{{- if .Values.mtls.enabled }}{{ $words = append $words "--host=127.0.0.1" }}{{ end -}}
{{- if .Values.tritonOptions }}{{ $words = concat $words (list "--") .Values.tritonOptions }}{{ end -}}
{{- toYaml $words }}
{{- end -}}

{{- define "tritonseg.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if eq .Values.device "gpu" -}}
{{- $limits := merge (dict "nvidia.com/gpu" .Values.gpus) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources }}
{{- end -}}

{{/* By gRPC's own health protocol; behind mTLS nothing but the container itself reaches the server. */}}
{{- define "tritonseg.probe" -}}
{{- if .Values.mtls.enabled -}}
exec: {command: [tritonseg, health]}
{{- else -}}
grpc: {port: 8001}
{{- end }}
timeoutSeconds: 5
{{- end -}}

{{- define "tritonseg.probes" -}}
startupProbe:
  {{- include "tritonseg.probe" . | nindent 2 }}
  periodSeconds: 10
  failureThreshold: {{ div .Values.startupSeconds 10 }}
readinessProbe:
  {{- include "tritonseg.probe" . | nindent 2 }}
  periodSeconds: 5
  failureThreshold: 2
# A server that unloads a model is for that time not healthy either, so this one waits for a minute.
livenessProbe:
  {{- include "tritonseg.probe" . | nindent 2 }}
  periodSeconds: 10
  failureThreshold: 6
{{- end -}}

{{- define "tritonseg.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.temporarySize }}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.sharedMemory }}}
{{- end -}}

{{- define "tritonseg.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- end -}}

{{- define "tritonseg.ratio" -}}
max(served_model:tritonseg_queue_compute:ratio2m{namespace={{ .Release.Namespace | quote }},served_model={{ .Values.autoscaling.servedModel | quote }}})
{{- end -}}
