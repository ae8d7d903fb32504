{{- define "flowtrail.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for what is put behind it: a name of a Service has 63 characters at most. */ -}}
{{- define "flowtrail.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains (include "flowtrail.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "flowtrail.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "flowtrail.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "flowtrail.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "flowtrail.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What never changes of a component: selectors can't be changed once they are there. */ -}}
{{- define "flowtrail.selector" -}}
app.kubernetes.io/name: {{ include "flowtrail.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "flowtrail.labels" -}}
{{ include "flowtrail.selector" . }}
app.kubernetes.io/part-of: flowtrail
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "flowtrail.config" -}}
flowtrail.toml: |
  {{- .Values.config | nindent 2 }}
{{- end }}

{{- define "flowtrail.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "flowtrail.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- /* .root, and .secret: who this process is to Postgres. Secrets are files, so that nobody reads them in `kubectl describe`. */ -}}
{{- define "flowtrail.environment" -}}
- { name: FLOWTRAIL_CONFIG, value: /etc/flowtrail/flowtrail.toml }
- { name: FLOWTRAIL_LOG, value: {{ .root.Values.logLevel | quote }} }
- { name: FLOWTRAIL_LOG_FORMAT, value: json }
- { name: FLOWTRAIL_HTTP__LISTEN, value: "0.0.0.0:9464" }
- { name: KAFKA_BOOTSTRAP_SERVERS, value: {{ .root.Values.kafka.bootstrapServers | quote }} }
- { name: FLOWTRAIL_KAFKA__TOPICS, value: {{ .root.Values.kafka.topic | quote }} }
- { name: FLOWTRAIL_KAFKA__GROUP, value: {{ .root.Values.kafka.group | quote }} }
- { name: DATABASE_URL_FILE, value: {{ printf "/run/secrets/postgres/%s" .secret.key | quote }} }
{{- with .root.Values.kafka.existingSecret }}
{{- if .name }}
- { name: FLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD_FILE, value: {{ printf "/run/secrets/kafka/%s" .key | quote }} }
{{- end }}
{{- end }}
{{- end }}

{{- define "flowtrail.mounts" -}}
- { name: config, mountPath: /etc/flowtrail, readOnly: true }
- { name: postgres, mountPath: /run/secrets/postgres, readOnly: true }
{{- if .root.Values.kafka.existingSecret.name }}
- { name: kafka, mountPath: /run/secrets/kafka, readOnly: true }
{{- end }}
{{- end }}

{{- /* .root, .secret, and .config: the ConfigMap. */ -}}
{{- define "flowtrail.volumes" -}}
- name: config
  configMap: { name: {{ .config }} }
- name: postgres
  secret: { secretName: {{ .secret.name | quote }}, defaultMode: 0440 }
{{- with .root.Values.kafka.existingSecret.name }}
- name: kafka
  secret: { secretName: {{ . | quote }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "flowtrail.probes" -}}
startupProbe: # the tables may be waited for
  httpGet: { path: /livez, port: {{ . }} }
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet: { path: /livez, port: {{ . }} }
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: {{ . }} }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- /* .root, .component, .scheduling: where its pods may run, apart from each other if they can. */ -}}
{{- define "flowtrail.scheduling" -}}
serviceAccountName: {{ include "flowtrail.serviceAccount" .root }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "flowtrail.selector" . | nindent 8 }}
{{- with .scheduling.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .scheduling.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .scheduling.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
