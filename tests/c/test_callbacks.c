/* Callbacks: when they act, what they say (Keras's words), and what they leave in files. */
#include "tensor_test.h"
#include "train/callback.h"
#include "train/optimizer.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A run on a model that is one float, and whose epochs the tests make up. */
typedef struct fake_run {
    cnn_run_control control;
    cnn_callback *callback;
    char *log;
    size_t log_size;
} fake_run;

static float model_weight;

static cnn_status save_weights(cnn_model *model, float **weights) {
    (void)model;
    *weights = cnn_malloc(sizeof **weights);
    if (!*weights) return CNN_ERROR_MEMORY;
    **weights = model_weight;
    return CNN_OK;
}

static void restore_weights(cnn_model *model, const float *weights) {
    (void)model;
    model_weight = *weights;
}

static void run_begin(fake_run *run, const char *class_name, const char *config) {
    *run = (fake_run){
        .control = {.epochs = 100, .save_weights = save_weights, .restore_weights = restore_weights}};
    cJSON *spec = cJSON_Parse("{\"class_name\": \"SGD\", \"config\": {\"learning_rate\": 0.01}}");
    OK(cnn_optimizer_new(&run->control.optimizer, spec));
    cJSON_Delete(spec);
    run->control.log = open_memstream(&run->log, &run->log_size);
    OK(cnn_callback_new(&run->callback, class_name, config));
    run->callback->run = &run->control;
    OK(cnn_callbacks_call(&run->callback, 1, CNN_TRAIN_BEGIN, 0, NULL));
}

/* Epochs of one figure, until training is stopped; returns how many were run. The model's weight is the
 * epoch. */
static int run_epochs(fake_run *run, const char *name, const double *values, int count) {
    int epoch = 0;
    while (epoch < count && !run->control.stop_training) {
        cnn_logs logs = {.count = 1, .names = {name}, .values = {values[epoch]}};
        model_weight = (float)epoch;
        OK(cnn_callbacks_call(&run->callback, 1, CNN_EPOCH_END, epoch++, &logs));
    }
    return epoch;
}

/* Ends the run and checks all it said. */
static void run_end(fake_run *run, const char *said) {
    OK(cnn_callbacks_call(&run->callback, 1, CNN_TRAIN_END, 0, NULL));
    fclose(run->control.log);
    assert_string_equal(run->log, said);
    free(run->log);
    cnn_callback_release(run->callback);
    cnn_optimizer_free(run->control.optimizer);
}

#define EPOCHS(run, name, ...)                                                                               \
    run_epochs(run, name, (double[]){__VA_ARGS__}, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))

/* ---- EarlyStopping ---------------------------------------------------------------------------------------
 */

static void stops_when_patience_is_out(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping", "{\"monitor\": \"val_loss\", \"patience\": 2, \"verbose\": 1}");
    assert_int_equal(EPOCHS(&run, "val_loss", 1.0, 0.5, 0.6, 0.7, 0.1), 4);
    run_end(&run, "Epoch 4: early stopping\n");
    assert_true(model_weight == 3);
}

static void brings_back_the_best_weights(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping",
              "{\"monitor\": \"val_loss\", \"patience\": 2, \"verbose\": 1, \"restore_best_weights\": true}");
    assert_int_equal(EPOCHS(&run, "val_loss", 1.0, 0.8, 0.5, 0.6, 0.7, 0.1), 5);
    run_end(&run, "Epoch 5: early stopping\nRestoring model weights from the end of the best epoch: 3.\n");
    assert_true(model_weight == 2);
    /* Also where training ends by itself. */
    run_begin(&run, "EarlyStopping",
              "{\"monitor\": \"loss\", \"patience\": 5, \"restore_best_weights\": true}");
    assert_int_equal(EPOCHS(&run, "loss", 1.0, 0.8, 0.9), 3);
    run_end(&run, "");
    assert_true(model_weight == 1);
}

static void knows_which_way_is_better(void **state) {
    (void)state;
    static const struct {
        const char *name, *mode;
        int epochs;
    } cases[] = {{"val_accuracy", "auto", 3}, {"auc", "auto", 3},     {"val_precision", "auto", 3},
                 {"loss", "auto", 2},         {"accuracy", "min", 2}, {"val_loss", "max", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_run run;
        char config[128];
        snprintf(config, sizeof config, "{\"monitor\": \"%s\", \"mode\": \"%s\"}", cases[i].name,
                 cases[i].mode);
        run_begin(&run, "EarlyStopping", config);
        assert_int_equal(EPOCHS(&run, cases[i].name, 0.5, 0.6, 0.4, 0.3), cases[i].epochs);
        run_end(&run, "");
    }
}

static void counts_no_change_below_min_delta(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping", "{\"monitor\": \"loss\", \"min_delta\": 0.125, \"patience\": 1}");
    assert_int_equal(EPOCHS(&run, "loss", 1.0, 0.75, 0.625, 0.0), 3);
    run_end(&run, "");
}

static void waits_for_start_and_baseline(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping", "{\"monitor\": \"loss\", \"start_from_epoch\": 3}");
    assert_int_equal(EPOCHS(&run, "loss", 1, 2, 3, 4, 5, 6), 5);
    run_end(&run, "");
    /* Better than before renews patience only if better than the baseline too. */
    run_begin(&run, "EarlyStopping", "{\"monitor\": \"loss\", \"baseline\": 0.5, \"patience\": 2}");
    assert_int_equal(EPOCHS(&run, "loss", 1.0, 0.9, 0.95, 0.1), 3);
    run_end(&run, "");
}

static void a_figure_that_is_not_a_number_is_not_better(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping", "{\"monitor\": \"loss\", \"patience\": 1}");
    assert_int_equal(EPOCHS(&run, "loss", NAN, 1.0, NAN, 0.5), 3);
    run_end(&run, "");
}

static void says_once_that_a_figure_is_missing(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping", "{}");
    for (int epoch = 0; epoch < 3; epoch++) {
        cnn_logs logs = {.count = 2, .names = {"loss", "accuracy"}, .values = {1, 0}};
        OK(cnn_callbacks_call(&run.callback, 1, CNN_EPOCH_END, epoch, &logs));
    }
    assert_false(run.control.stop_training);
    run_end(&run,
            "Early stopping conditioned on metric `val_loss` which is not available. Available metrics are: "
            "loss,accuracy\n");
}

static void starts_anew_in_a_second_run(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "EarlyStopping",
              "{\"monitor\": \"loss\", \"patience\": 1, \"restore_best_weights\": true}");
    assert_int_equal(EPOCHS(&run, "loss", 0.1, 0.2, 0.3), 2);
    OK(cnn_callbacks_call(&run.callback, 1, CNN_TRAIN_END, 0, NULL));
    run.control.stop_training = false;
    OK(cnn_callbacks_call(&run.callback, 1, CNN_TRAIN_BEGIN, 0, NULL));
    assert_int_equal(EPOCHS(&run, "loss", 9, 8, 7, 7.5), 4);
    run_end(&run, "");
    assert_true(model_weight == 2);
}

static cnn_status early_stopping_run(cnn_tensor **out, void *data) {
    cnn_callback *callback;
    cnn_run_control control = {.save_weights = save_weights, .restore_weights = restore_weights};
    cnn_logs logs = {.count = 1, .names = {"loss"}, .values = {1}};
    (void)out;
    cnn_status status = cnn_callback_new(&callback, "EarlyStopping", data);
    if (status != CNN_OK) return status;
    callback->run = &control;
    for (int epoch = 0; epoch < 3 && status == CNN_OK; epoch++, logs.values[0] /= 2)
        status = cnn_callbacks_call(&callback, 1, CNN_EPOCH_END, epoch, &logs);
    cnn_callback_release(callback);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    assert_survives(early_stopping_run,
                    "{\"monitor\": \"loss\", \"mode\": \"max\", \"restore_best_weights\": true}");
}

/* ---- ReduceLROnPlateau -----------------------------------------------------------------------------------
 */

static void reduces_the_rate_on_a_plateau(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "ReduceLROnPlateau",
              "{\"monitor\": \"loss\", \"patience\": 2, \"verbose\": 1, \"min_lr\": 0.0005}");
    EPOCHS(&run, "loss", 1, 1, 1);
    assert_true(fabs(cnn_optimizer_rate(run.control.optimizer) - 0.001) < 1e-12);
    EPOCHS(&run, "loss", 1, 1, 1, 1, 1);
    assert_true(cnn_optimizer_rate(run.control.optimizer) == 0.0005);
    run_end(&run, "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.001.\n"
                  "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.0005.\n");
}

static void cools_down_after_a_reduction(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "ReduceLROnPlateau",
              "{\"monitor\": \"loss\", \"patience\": 1, \"cooldown\": 2, \"factor\": 0.5, \"verbose\": 1}");
    EPOCHS(&run, "loss", 1, 1, 1, 1);
    /* Epoch 2 reduces; epoch 3 cools; in epoch 4 cooling is over and waiting begins again. */
    run_end(&run, "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.005.\n"
                  "Epoch 4: ReduceLROnPlateau reducing learning rate to 0.0025.\n");
}

static void adds_the_rate_to_the_logs(void **state) {
    (void)state;
    fake_run run;
    run_begin(&run, "ReduceLROnPlateau", "{}");
    cnn_logs logs = {.count = 1, .names = {"loss"}, .values = {1}};
    OK(cnn_callbacks_call(&run.callback, 1, CNN_EPOCH_END, 0, &logs));
    bool found;
    assert_true(cnn_logs_get(&logs, "learning_rate", &found) == 0.01);
    assert_true(found);
    run_end(&run,
            "Learning rate reduction is conditioned on metric `val_loss` which is not available. Available "
            "metrics are: loss\n");
}

/* ---- CSVLogger -------------------------------------------------------------------------------------------
 */

static char csv_path[] = "/tmp/test_callbacks_XXXXXX";

static void expect_file(const char *text) {
    char found[1024] = "";
    FILE *file = fopen(csv_path, "rb");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(found, text);
}

static void log_epoch(fake_run *run, int epoch, cnn_logs logs) {
    OK(cnn_callbacks_call(&run->callback, 1, CNN_EPOCH_END, epoch, &logs));
}

static void writes_a_line_for_each_epoch(void **state) {
    (void)state;
    char config[128];
    fake_run run;
    snprintf(config, sizeof config, "{\"filename\": \"%s\"}", csv_path);
    run_begin(&run, "CSVLogger", config);
    log_epoch(&run, 0, (cnn_logs){2, {"loss", "accuracy"}, {0.5, 0.1}});
    expect_file("epoch,loss,accuracy\n0,0.5,0.1\n"); /* while the run goes on */
    log_epoch(&run, 1, (cnn_logs){2, {"accuracy", "other"}, {1.0 / 3, 7}});
    log_epoch(&run, 2, (cnn_logs){2, {"loss", "accuracy"}, {NAN, 1}});
    run_end(&run, "");
    expect_file("epoch,loss,accuracy\n0,0.5,0.1\n1,nan,0.3333333333333333\n2,nan,1\n");
    /* Another run overwrites. */
    run_begin(&run, "CSVLogger", config);
    log_epoch(&run, 0, (cnn_logs){1, {"loss"}, {2}});
    run_end(&run, "");
    expect_file("epoch,loss\n0,2\n");
}

static void appends_under_the_header_that_is_there(void **state) {
    (void)state;
    char config[160];
    fake_run run;
    snprintf(config, sizeof config, "{\"filename\": \"%s\", \"append\": true, \"separator\": \"; \"}",
             csv_path);
    FILE *file = fopen(csv_path, "wb");
    fputs("epoch; accuracy; loss\n0; 1; 2", file); /* cut off: the last line has no end */
    fclose(file);
    run_begin(&run, "CSVLogger", config);
    log_epoch(&run, 1, (cnn_logs){2, {"loss", "accuracy"}, {4, 3}});
    run_end(&run, "");
    expect_file("epoch; accuracy; loss\n0; 1; 2\n1; 3; 4\n");
    remove(csv_path);
    run_begin(&run, "CSVLogger", config);
    log_epoch(&run, 0, (cnn_logs){1, {"loss"}, {1}});
    run_end(&run, "");
    expect_file("epoch; loss\n0; 1\n");
}

static void tells_of_files_it_cannot_write(void **state) {
    (void)state;
    cnn_callback *callback = NULL;
    cnn_run_control control = {0};
    cnn_logs logs = {.count = 1, .names = {"loss"}, .values = {1}};
    OK(cnn_callback_new(&callback, "CSVLogger", "{\"filename\": \"/nowhere/history.csv\"}"));
    callback->run = &control;
    assert_fails(cnn_callbacks_call(&callback, 1, CNN_TRAIN_BEGIN, 0, NULL), CNN_ERROR_IO,
                 "CSVLogger: cannot write /nowhere/history.csv: No such file or directory");
    cnn_callback_release(callback);
    if (access("/dev/full", W_OK) != 0) return;
    OK(cnn_callback_new(&callback, "CSVLogger", "{\"filename\": \"/dev/full\"}"));
    callback->run = &control;
    OK(cnn_callbacks_call(&callback, 1, CNN_TRAIN_BEGIN, 0, NULL));
    assert_fails(cnn_callbacks_call(&callback, 1, CNN_EPOCH_END, 0, &logs), CNN_ERROR_IO,
                 "CSVLogger: cannot write /dev/full: No space left on device");
    cnn_callback_release(callback);
}

/* A second process: a new callback of the same arguments, begun, with the state of the first. */
static void take_up(fake_run *next, fake_run *first, const char *class_name, const char *config) {
    cJSON *state = NULL;
    OK(cnn_callback_get_state(&state, first->callback));
    log_epoch(first, 7, (cnn_logs){1, {"loss"}, {123}}); /* after the backup, and to be undone */
    run_begin(next, class_name, config);
    OK(cnn_callback_set_state(next->callback, state));
    cJSON_Delete(state);
}

static void cuts_its_file_back_when_resumed(void **state) {
    (void)state;
    char config[160];
    for (int append = 0; append < 2; append++) {
        fake_run first, second, third;
        FILE *file = fopen(csv_path, "wb");
        fputs("epoch,loss\n0,9", file);
        fclose(file);
        snprintf(config, sizeof config, "{\"filename\": \"%s\", \"append\": %s}", csv_path,
                 append ? "true" : "false");
        run_begin(&first, "CSVLogger", config);
        take_up(&second, &first, "CSVLogger", config); /* before its first line */
        log_epoch(&second, 0, (cnn_logs){1, {"loss"}, {0.5}});
        take_up(&third, &second, "CSVLogger", config);
        log_epoch(&third, 1, (cnn_logs){1, {"loss"}, {0.25}});
        run_end(&third, "");
        expect_file(append ? "epoch,loss\n0,9\n0,0.5\n1,0.25\n" : "epoch,loss\n0,0.5\n1,0.25\n");
        run_end(&second, "");
        run_end(&first, "");
    }
}

static void goes_on_with_a_file_that_lost_lines(void **state) {
    (void)state;
    char config[160], said[160];
    fake_run first, second;
    snprintf(config, sizeof config, "{\"filename\": \"%s\"}", csv_path);
    snprintf(said, sizeof said, "CSVLogger: lines of earlier epochs are missing from %s\n", csv_path);
    run_begin(&first, "CSVLogger", config);
    log_epoch(&first, 0, (cnn_logs){1, {"loss"}, {1}});
    cJSON *backup = NULL;
    OK(cnn_callback_get_state(&backup, first.callback));
    run_end(&first, "");
    remove(csv_path);
    run_begin(&second, "CSVLogger", config);
    OK(cnn_callback_set_state(second.callback, backup));
    cJSON_Delete(backup);
    log_epoch(&second, 1, (cnn_logs){1, {"loss"}, {2}});
    run_end(&second, said);
    expect_file("epoch,loss\n1,2\n");
}

static void keeps_the_old_file_until_there_is_a_line(void **state) {
    (void)state;
    char config[160];
    fake_run run;
    FILE *file = fopen(csv_path, "wb");
    fputs("old", file);
    fclose(file);
    snprintf(config, sizeof config, "{\"filename\": \"%s\"}", csv_path);
    run_begin(&run, "CSVLogger", config);
    expect_file("old");
    run_end(&run, "");
    expect_file("");
}

/* ---- TerminateOnNaN --------------------------------------------------------------------------------------
 */

static void ends_training_on_an_invalid_loss(void **state) {
    (void)state;
    static const double losses[] = {1, 0.5, 2, INFINITY};
    fake_run run;
    run_begin(&run, "TerminateOnNaN", NULL);
    for (int batch = 0; batch < 4; batch++) {
        cnn_logs logs = {.count = 1, .names = {"loss"}, .values = {losses[batch]}};
        assert_false(run.control.stop_training);
        OK(cnn_callbacks_call(&run.callback, 1, CNN_TRAIN_BATCH_END, batch, &logs));
    }
    assert_true(run.control.stop_training);
    run_end(&run, "Batch 3: Invalid loss, terminating training\n");
}

static void refuses_wrong_arguments(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"EarlyStoping", "{}", "unknown callback 'EarlyStoping' (did you mean 'EarlyStopping'?)"},
        {"EarlyStopping", "{\"patiense\": 3}",
         "EarlyStopping: unknown argument 'patiense' (did you mean 'patience'?)"},
        {"EarlyStopping", "{\"mode\": \"best\"}",
         "EarlyStopping: 'mode' must be one of 'auto', 'min', 'max', got \"best\""},
        {"EarlyStopping", "{\"monitor\": null}", "EarlyStopping: 'monitor' must be a string, got null"},
        {"EarlyStopping", "{\"patience\": ", "EarlyStopping: not JSON near"},
        {"ReduceLROnPlateau", "{\"factor\": 1}",
         "ReduceLROnPlateau: 'factor' must be at least 0 and below 1, got 1"},
        {"CSVLogger", "{}", "CSVLogger: missing argument 'filename'"},
        {"CSVLogger", "{\"filename\": \"x\", \"separator\": \"\"}",
         "CSVLogger: 'separator' must not be empty"},
        {"TerminateOnNaN", "{\"verbose\": 1}", "TerminateOnNaN: unknown argument 'verbose'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_callback *callback = NULL;
        assert_fails(cnn_callback_new(&callback, cases[i][0], cases[i][1]), CNN_ERROR_ARGUMENT, cases[i][2]);
        assert_null(callback);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_when_patience_is_out),
        cmocka_unit_test(brings_back_the_best_weights),
        cmocka_unit_test(knows_which_way_is_better),
        cmocka_unit_test(counts_no_change_below_min_delta),
        cmocka_unit_test(waits_for_start_and_baseline),
        cmocka_unit_test(a_figure_that_is_not_a_number_is_not_better),
        cmocka_unit_test(says_once_that_a_figure_is_missing),
        cmocka_unit_test(starts_anew_in_a_second_run),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(reduces_the_rate_on_a_plateau),
        cmocka_unit_test(cools_down_after_a_reduction),
        cmocka_unit_test(adds_the_rate_to_the_logs),
        cmocka_unit_test(writes_a_line_for_each_epoch),
        cmocka_unit_test(appends_under_the_header_that_is_there),
        cmocka_unit_test(tells_of_files_it_cannot_write),
        cmocka_unit_test(cuts_its_file_back_when_resumed),
        cmocka_unit_test(goes_on_with_a_file_that_lost_lines),
        cmocka_unit_test(keeps_the_old_file_until_there_is_a_line),
        cmocka_unit_test(ends_training_on_an_invalid_loss),
        cmocka_unit_test(refuses_wrong_arguments),
    };
    close(mkstemp(csv_path));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(csv_path);
    return failed;
}
