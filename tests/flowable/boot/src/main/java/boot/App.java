package boot;

import java.util.Map;
import org.flowable.engine.RuntimeService;
import org.flowable.engine.TaskService;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

/** Runs the process of its class path: once to its end, and once in a transaction that is rolled back. */
@SpringBootApplication
public class App {
    public static void main(String[] arguments) {
        try (var context = SpringApplication.run(App.class, arguments)) {
            RuntimeService runtime = context.getBean(RuntimeService.class);
            TaskService tasks = context.getBean(TaskService.class);
            TransactionTemplate transaction = new TransactionTemplate(context.getBean(PlatformTransactionManager.class));
            transaction.executeWithoutResult(status -> {
                String id = runtime.startProcessInstanceByKey("order", "kept", Map.of("amount", 3)).getId();
                tasks.complete(tasks.createTaskQuery().processInstanceId(id).singleResult().getId());
            });
            transaction.executeWithoutResult(status -> {
                runtime.startProcessInstanceByKey("order", "rolled back");
                status.setRollbackOnly();
            });
        }
    }
}
