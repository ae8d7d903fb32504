package io.flowtrail.flowable;

import org.flowable.common.engine.api.FlowableException;
import org.flowable.engine.impl.util.ProcessDefinitionUtil;
import org.flowable.engine.repository.ProcessDefinition;

/**
 * What a process definition is called. Of one that can't be had, because it is being deleted, what its id says: {@code key:version:id}.
 */
record Definition(String key, String version, String name, String category, String deploymentId) {
    /** From the engine's cache; a definition that is not in it costs a query. */
    static Definition of(String id) {
        try {
            ProcessDefinition found = ProcessDefinitionUtil.getProcessDefinition(id);
            String version = Integer.toString(found.getVersion());
            return new Definition(found.getKey(), version, found.getName(), found.getCategory(), found.getDeploymentId());
        } catch (FlowableException gone) {
            String[] parts = id.split(":", 3);
            return new Definition(parts[0], parts.length == 3 ? parts[1] : "", null, null, null);
        }
    }
}
