/* Trains a small network with libcnn alone, tests it, saves it, and loads it again.
 *     cc train.c -o train $(pkg-config --cflags --libs cnn)
 *     ./train strokes.keras
 *     ./train digits.keras train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz
 * The first argument is the file to save to. Two more are pictures and their labels, as MNIST has them; without,
 * strokes in four directions are drawn. The last fifth of the pictures is for the test. */
#include <cnn.h>

#include <stdlib.h>

enum { COUNT = 5000, SIZE = 28, LENGTH = 6 };

/* Every fallible function returns a status, and leaves a message. Here each failure ends the program. */
static void check(cnn_status status) {
    if (status == CNN_OK) return;
    fprintf(stderr, "train: %s\n", cnn_error_message());
    exit(EXIT_FAILURE);
}

/* Class 0 lies, 1 stands, 2 falls, 3 rises; somewhere near the middle, in noise. */
static void draw_strokes(cnn_tensor **images, cnn_tensor **labels) {
    static const int down[] = {0, 1, 1, -1}, right[] = {1, 0, 1, 1};
    int32_t noise[SIZE * SIZE], middle[2];
    check(cnn_tensor_new(images, CNN_UINT8, 3, (const int64_t[]){COUNT, SIZE, SIZE}));
    check(cnn_tensor_new(labels, CNN_UINT8, 1, (const int64_t[]){COUNT}));
    for (int i = 0; i < COUNT; i++) {
        uint8_t *image = cnn_u8(*images) + i * SIZE * SIZE;
        int class = i % 4;
        cnn_u8(*labels)[i] = (uint8_t) class;
        cnn_random_integers(NULL, noise, SIZE * SIZE, 0, 64);
        cnn_random_integers(NULL, middle, 2, LENGTH, SIZE - LENGTH);
        for (int p = 0; p < SIZE * SIZE; p++) image[p] = (uint8_t)noise[p];
        for (int t = -LENGTH; t < LENGTH; t++)
            image[(middle[0] + t * down[class]) * SIZE + middle[1] + t * right[class]] = 255;
    }
}

/* Layers are made from Keras's names and, as JSON, Keras's arguments. */
static cnn_model *build(void) {
    cnn_model *model;
    check(cnn_sequential_new(&model, NULL));
    check(
        cnn_model_add_new(model, "Rescaling", "{\"scale\": 0.00392156862745098, \"input_shape\": [28, 28]}"));
    check(cnn_model_add_new(model, "Reshape", "{\"target_shape\": [28, 28, 1]}"));
    check(cnn_model_add_new(model, "Conv2D",
                            "{\"filters\": 16, \"kernel_size\": 3, \"activation\": \"relu\"}"));
    check(cnn_model_add_new(model, "MaxPooling2D", "{}"));
    check(cnn_model_add_new(model, "Conv2D",
                            "{\"filters\": 32, \"kernel_size\": 3, \"activation\": \"relu\"}"));
    check(cnn_model_add_new(model, "MaxPooling2D", "{}"));
    check(cnn_model_add_new(model, "Flatten", "{}"));
    check(cnn_model_add_new(model, "Dense", "{\"units\": 10, \"activation\": \"softmax\"}"));
    check(cnn_model_compile(model, "{\"optimizer\": \"adam\", \"metrics\": [\"accuracy\"],"
                                   " \"loss\": \"sparse_categorical_crossentropy\"}"));
    return model;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: train MODEL.keras [IMAGES LABELS]\n");
        return EXIT_FAILURE;
    }
    cnn_tensor *images, *labels, *x, *y, *test_x, *test_y;
    cnn_set_seed(1); /* the same numbers at every run, with any number of threads */
    if (argc == 4) {
        check(cnn_idx_load(&images, argv[2]));
        check(cnn_idx_load(&labels, argv[3]));
    } else {
        draw_strokes(&images, &labels);
    }
    int64_t count = images->shape[0], trained = count - count / 5;
    check(cnn_view(&x, images, 0, trained));
    check(cnn_view(&y, labels, 0, trained));
    check(cnn_view(&test_x, images, trained, count));
    check(cnn_view(&test_y, labels, trained, count));

    cnn_model *model = build(), *again;
    cnn_fit_options training = {.x = x, .y = y, .epochs = 3, .verbose = 2, .log = stdout};
    check(cnn_model_fit(model, &training, NULL));
    check(cnn_model_save(model, argv[1], true));
    check(cnn_model_load(&again, argv[1], NULL, NULL));

    double values[2], values_again[2]; /* the loss, then the metrics */
    cnn_fit_options test = {.x = test_x, .y = test_y};
    check(cnn_model_evaluate(model, &test, values, 2));
    check(cnn_model_evaluate(again, &test, values_again, 2));
    printf("test accuracy: %.4f, of the model from %s: %.4f\n", values[1], argv[1], values_again[1]);

    cnn_model_release(model);
    cnn_model_release(again);
    cnn_tensor *const tensors[] = {x, y, test_x, test_y, images, labels};
    for (int i = 0; i < 6; i++) cnn_tensor_release(tensors[i]);
    return values[1] == values_again[1] ? EXIT_SUCCESS : EXIT_FAILURE;
}
