/* What is particular to ops and layers that change pictures: what is drawn goes by place in the batch; configs of both
 * Kerases. Gradients and the like are those of all ops, in test_ops.c. */
#include "op_case.h"

#include "layers/layer.h"

/* ---- random numbers ---------------------------------------------------------------------------------------- */

static cnn_tensor rows(const cnn_tensor *t, int64_t from, int64_t to) {
    cnn_tensor view = *t;
    view.size = t->size / t->shape[0] * (to - from);
    view.shape[0] = to - from;
    view.data = cnn_f32(t) + t->size / t->shape[0] * from;
    return view;
}

/* Samples 2 and 3 alone, as a plan that goes a few samples at a time has them. */
static void check_place(const op_case *c) {
    op_run r;
    run_open(&r, c);
    OK(run_forward(&r));
    cnn_tensor x = rows(r.inputs[0], 2, 4), whole = rows(r.output, 2, 4), *part = NULL;
    OK(cnn_tensor_new(&part, CNN_FLOAT32, whole.rank, whole.shape));
    cnn_op_call call = {.attributes = r.attributes,
                        .n_inputs = 1,
                        .inputs = (const cnn_tensor *const[]){&x},
                        .output = part,
                        .scratch = cnn_malloc(r.info.scratch),
                        .training = true,
                        .step = 99,
                        .first_sample = 2};
    OK(r.op->forward(&call));
    assert_memory_equal(part->data, whole.data, cnn_tensor_bytes(part));
    call.step = 100;
    OK(r.op->forward(&call));
    assert_memory_not_equal(part->data, whole.data, cnn_tensor_bytes(part));
    cnn_free(call.scratch);
    cnn_tensor_release(part);
    run_close(&r);
}

static void numbers_go_by_step_and_place_in_the_batch(void **state) {
    (void)state;
    static const op_case cases[] = {
        {"random_flip", "{\"seed\": 3}", {"5,4,3,3"}},
        {"random_warp", "{\"kind\": \"rotation\", \"height_high\": 1}", {"5,4,3,3"}},
        {"random_contrast", "{\"low\": 0, \"high\": 2, \"darkest\": -1}", {"5,4,3,3"}},
        {"random_brightness", "{\"low\": 0, \"high\": 1, \"darkest\": -1}", {"5,4,3,3"}},
        {"random_crop", "{\"height\": 2, \"width\": 2}", {"5,9,9,3"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_place(&cases[i]);
}

/* ---- configs of Keras -------------------------------------------------------------------------------------- */

static void expect_config(const cnn_layer *layer, cnn_keras keras, const char *expected) {
    cJSON *config = NULL, *want = cJSON_Parse(expected);
    assert_non_null(want);
    OK(cnn_layer_keras_config(&config, layer, keras));
    const char *const common[] = {"name", "trainable", "dtype", "batch_input_shape"};
    for (int i = 0; i < 4; i++) cJSON_DeleteItemFromObject(config, common[i]);
    if (!cJSON_Compare(config, want, true)) {
        print_error("%s: %s, not %s\n", layer->class->name, cJSON_PrintUnformatted(config), expected);
        fail();
    }
    cJSON_Delete(config);
    cJSON_Delete(want);
}

/* As Keras 3.9 and 2.12 write them, the arguments that all layers have left out; and what is written then. */
static const struct {
    const char *class, *read, *written;
} configs[] = {
    {"RandomFlip", "{\"seed\": null, \"mode\": \"horizontal\", \"data_format\": \"channels_last\"}",
     "{\"mode\": \"horizontal\", \"seed\": null}"},
    {"RandomFlip", "{\"mode\": \"vertical\", \"seed\": 4}", "{\"mode\": \"vertical\", \"seed\": 4}"},
    {"RandomRotation",
     "{\"factor\": [-0.1, 0.1], \"data_format\": \"channels_last\", \"fill_mode\": \"reflect\","
     " \"fill_value\": 0.0, \"interpolation\": \"bilinear\", \"seed\": null}",
     "{\"factor\": [-0.1, 0.1], \"fill_mode\": \"reflect\", \"interpolation\": \"bilinear\", \"seed\": null,"
     " \"fill_value\": 0}"},
    {"RandomZoom",
     "{\"height_factor\": 0.2, \"width_factor\": null, \"fill_mode\": \"wrap\", \"fill_value\": 0.0,"
     " \"interpolation\": \"nearest\", \"seed\": 1}",
     "{\"height_factor\": 0.2, \"width_factor\": null, \"fill_mode\": \"wrap\", \"interpolation\": "
     "\"nearest\","
     " \"seed\": 1, \"fill_value\": 0}"},
    {"RandomTranslation",
     "{\"height_factor\": [-0.2, 0.3], \"width_factor\": 0.2, \"fill_mode\": \"constant\", \"fill_value\": "
     "9.5,"
     " \"interpolation\": \"bilinear\", \"seed\": null, \"data_format\": \"channels_last\"}",
     "{\"height_factor\": [-0.2, 0.3], \"width_factor\": 0.2, \"fill_mode\": \"constant\","
     " \"interpolation\": \"bilinear\", \"seed\": null, \"fill_value\": 9.5}"},
    {"RandomShear",
     "{\"x_factor\": [-0.3, 0.3], \"y_factor\": [0, 0.2], \"fill_mode\": \"reflect\", \"seed\": null,"
     " \"interpolation\": \"bilinear\", \"fill_value\": 0.0, \"data_format\": \"channels_last\"}",
     "{\"x_factor\": [-0.3, 0.3], \"y_factor\": [0, 0.2], \"interpolation\": \"bilinear\","
     " \"fill_mode\": \"reflect\", \"fill_value\": 0, \"seed\": null}"},
    {"RandomContrast", "{\"factor\": 0.2, \"seed\": null}", "{\"factor\": [0.2, 0.2], \"seed\": null}"},
    {"RandomContrast", "{\"factor\": [0, 0.2], \"value_range\": [0, 1], \"seed\": 3}",
     "{\"factor\": [0, 0.2], \"value_range\": [0, 1], \"seed\": 3}"},
    {"RandomBrightness", "{\"factor\": [-0.2, 0.2], \"value_range\": [0, 255], \"seed\": null}",
     "{\"factor\": [-0.2, 0.2], \"value_range\": [0, 255], \"seed\": null}"},
    {"RandomCrop", "{\"height\": 7, \"width\": 8, \"seed\": 123456789, \"data_format\": \"channels_last\"}",
     "{\"height\": 7, \"width\": 8, \"seed\": 123456789}"},
    {"CenterCrop", "{\"height\": 7, \"width\": 8, \"data_format\": \"channels_last\"}",
     "{\"height\": 7, \"width\": 8}"},
    {"Resizing",
     "{\"height\": 7, \"width\": 8, \"interpolation\": \"bilinear\", \"crop_to_aspect_ratio\": true,"
     " \"pad_to_aspect_ratio\": false, \"fill_mode\": \"constant\", \"fill_value\": 0.0, \"antialias\": "
     "false,"
     " \"data_format\": \"channels_last\"}",
     "{\"height\": 7, \"width\": 8, \"interpolation\": \"bilinear\", \"crop_to_aspect_ratio\": true}"},
};

static void configs_of_both_kerases_are_read_and_what_both_read_is_written(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        cnn_layer *layer = NULL;
        OK(cnn_layer_new(&layer, configs[i].class, configs[i].read));
        expect_config(layer, CNN_KERAS_2, configs[i].written);
        expect_config(layer, CNN_KERAS_3, configs[i].written);
        cnn_layer_release(layer);
    }
}

/* Three numbers are an error that names the argument, and nothing leaks. */
static void wrong_configs_are_refused(void **state) {
    (void)state;
    size_t before = cnn_memory_used();
    cnn_layer *layer = NULL;
    assert_int_equal(
        cnn_layer_new(&layer, "RandomTranslation", "{\"height_factor\": 0.1, \"width_factor\": [0, 1, 2]}"),
        CNN_ERROR_ARGUMENT);
    assert_string_equal(cnn_error_message(),
                        "RandomTranslation: 'width_factor': expected a number from -1 to 1, "
                        "or two: {low, high}, got [0,1,2]");
    assert_null(layer);
    assert_int_equal(cnn_memory_used(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_go_by_step_and_place_in_the_batch),
        cmocka_unit_test(configs_of_both_kerases_are_read_and_what_both_read_is_written),
        cmocka_unit_test(wrong_configs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
