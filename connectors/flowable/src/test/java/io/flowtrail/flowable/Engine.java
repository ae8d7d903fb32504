package io.flowtrail.flowable;

import java.util.Map;
import org.flowable.common.engine.impl.history.HistoryLevel;
import org.flowable.engine.ProcessEngine;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.flowable.engine.impl.cfg.StandaloneProcessEngineConfiguration;

/** An engine with the processes of the tests, on a database in H2. */
final class Engine {
    private static final String[] PROCESSES = {
        "parent", "child", "parallel", "boundary", "terminate", "retried", "dead", "refused", "each", "oneByOne", "interrupted", "timed",
        "straight", "data"
    };
    private static final int SOON = 200;
    private static final int LOCK = 5000;

    private Engine() {}

    /** The address of a database in memory that is gone with the JVM. */
    static String inMemory(String name) {
        return "jdbc:h2:mem:" + name + ";DB_CLOSE_DELAY=-1";
    }

    static ProcessEngine start(String database, String historyLevel, boolean withJobs) {
        StandaloneProcessEngineConfiguration configuration = new StandaloneProcessEngineConfiguration();
        configuration.setJdbcUrl(database);
        configuration.setJdbcDriver("org.h2.Driver");
        configuration.setJdbcUsername("sa");
        configuration.setJdbcPassword("");
        configuration.setJdbcMaxActiveConnections(40);
        configuration.setDatabaseSchemaUpdate("true");
        configuration.setHistoryLevel(HistoryLevel.getHistoryLevelForKey(historyLevel));
        configuration.setBeans(Map.of("acts", new Acts()));
        configuration.setAsyncExecutorActivate(withJobs);
        impatient(configuration);
        ProcessEngine engine = configuration.buildProcessEngine();
        if (engine.getRepositoryService().createProcessDefinitionQuery().count() == 0) {
            var deployment = engine.getRepositoryService().createDeployment();
            for (String process : PROCESSES) {
                deployment.addClasspathResource("processes/" + process + ".bpmn20.xml");
            }
            deployment.deploy();
        }
        return engine;
    }

    /** Jobs are looked for often, and those of an engine that died are soon another's. */
    private static void impatient(ProcessEngineConfigurationImpl configuration) {
        configuration.setAsyncExecutorDefaultAsyncJobAcquireWaitTime(SOON);
        configuration.setAsyncExecutorDefaultTimerJobAcquireWaitTime(SOON);
        configuration.setAsyncExecutorAsyncJobLockTimeInMillis(LOCK);
        configuration.setAsyncExecutorTimerLockTimeInMillis(LOCK);
        configuration.setAsyncExecutorResetExpiredJobsInterval(SOON);
        configuration.setAsyncHistoryExecutorAsyncJobLockTimeInMillis(LOCK);
        configuration.setAsyncHistoryExecutorResetExpiredJobsInterval(SOON);
    }
}
