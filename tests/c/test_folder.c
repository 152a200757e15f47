/* Pictures in folders: which are found, with which labels, in which parts, and what becomes of those that are none. */
#include "datasets.h"
#include "files.h"

#include <sys/stat.h>

/* ---- making folders ---------------------------------------------------------------------------------------- */

/* A tree of its own for each test. */
static char root[64];

static void make_root(void) {
    static int count;
    snprintf(root, sizeof root, "%s/%d", folder, count++);
    assert_int_equal(mkdir(root, 0777), 0);
}

static char *in_root(const char *name) {
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void make_dir(const char *name) {
    assert_int_equal(mkdir(in_root(name), 0777), 0);
}

/* A picture of one grey, which says which one it is. */
static void make_picture(const char *name, double grey) {
    cnn_tensor *image;
    OK(cnn_tensor_full(&image, CNN_UINT8, 3, (int64_t[]){6, 8, 3}, grey));
    OK(cnn_image_save(in_root(name), image, false, 95));
    cnn_tensor_release(image);
}

static void make_file(const char *name, const char *bytes) {
    put(in_root(name), bytes, strlen(bytes));
}

/* cats: 10 20 30; dogs: 110 120 130 140. */
static void make_cats_and_dogs(void) {
    make_root();
    make_dir("dogs");
    make_dir("cats");
    make_picture("cats/b.png", 20);
    make_picture("cats/a.png", 10);
    make_picture("cats/c.png", 30);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "dogs/%d.png", i);
        make_picture(name, 110 + 10 * i);
    }
}

/* ---- reading them ------------------------------------------------------------------------------------------ */

static cnn_dataset *opened(const char *config) {
    cnn_dataset *dataset;
    OK(cnn_dataset_from_directory(&dataset, root, config));
    return dataset;
}

#define SMALL "\"image_size\": [2, 3]"
#define PLAIN SMALL ", \"shuffle\": false"

/* "grey/label " for each picture of one iteration. */
static const char *greys(cnn_dataset *dataset) {
    static text kept[4];
    static int next;
    text *t = &kept[next++ % 4];
    cnn_iterator *iterator;
    cnn_element element;
    t->length = 0;
    t->bytes[0] = '\0';
    OK(cnn_iterator_new(&iterator, dataset, NULL));
    for (;;) {
        OK(cnn_iterator_next(iterator, &element));
        if (element.count == 0) break;
        say(t, "%.0f", cnn_tensor_get(element.parts[0], 0));
        for (int64_t i = 0; element.count > 1 && i < element.parts[1]->size; i++)
            say(t, "/%g", cnn_tensor_get(element.parts[1], i));
        say(t, " ");
        cnn_element_clear(&element);
    }
    cnn_iterator_free(iterator);
    return t->bytes;
}

static void expect_greys(const char *config, const char *expected) {
    cnn_dataset *dataset = opened(config);
    assert_string_equal(greys(dataset), expected);
    cnn_dataset_release(dataset);
}

static void refused(const char *config, cnn_status status, const char *message) {
    cnn_dataset *dataset = NULL;
    size_t before = cnn_memory_used();
    assert_fails(cnn_dataset_from_directory(&dataset, root, config), status, message);
    assert_null(dataset);
    assert_int_equal(cnn_memory_used(), before);
}

/* ---- warnings ---------------------------------------------------------------------------------------------- */

static text warnings;

static void note_warning(void *data, const char *message) {
    (void)data;
    say(&warnings, "%s\n", message);
}

static void listen(void) {
    warnings.length = 0;
    warnings.bytes[0] = '\0';
    cnn_on_warning(note_warning, NULL);
}

static int warning_count(void) {
    int count = 0;
    for (const char *at = warnings.bytes; *at; at++) count += *at == '\n';
    return count;
}

/* ---- what is found ----------------------------------------------------------------------------------------- */

static void pictures_and_labels(void **unused) {
    (void)unused;
    make_cats_and_dogs();
    cnn_dataset *dataset = opened("{" PLAIN "}"), *mapped = cnn_dataset_retain(dataset);
    int label = -1;
    assert_int_equal(cnn_dataset_cardinality(dataset), 7);
    assert_int_equal(cnn_dataset_class_count(dataset), 2);
    assert_string_equal(cnn_dataset_class_name(dataset, 0), "cats");
    assert_string_equal(cnn_dataset_class_name(dataset, 1), "dogs");
    assert_null(cnn_dataset_class_name(dataset, 2));
    assert_int_equal(cnn_dataset_file_count(dataset), 7);
    assert_string_equal(cnn_dataset_file(dataset, 3, &label), in_root("dogs/0.png"));
    assert_int_equal(label, 1);
    assert_null(cnn_dataset_file(dataset, 7, &label));
    assert_string_equal(greys(dataset), "10/0 20/0 30/0 110/1 120/1 130/1 140/1 ");
    OVER(mapped, cnn_dataset_batch, input, 2, false); /* what is made of it knows as much */
    assert_int_equal(cnn_dataset_class_count(mapped), 2);
    assert_string_equal(cnn_dataset_file(mapped, 0, NULL), in_root("cats/a.png"));
    cnn_dataset_release(mapped);
    cnn_dataset_release(dataset);
    dataset = numbers(2);
    assert_int_equal(cnn_dataset_class_count(dataset), 0);
    assert_int_equal(cnn_dataset_file_count(dataset), 0);
    assert_null(cnn_dataset_class_name(dataset, 0));
    assert_null(cnn_dataset_file(dataset, 0, NULL));
    cnn_dataset_release(dataset);
}

static void shapes_and_dtypes(void **unused) {
    (void)unused;
    static const struct {
        const char *config;
        int channels;
        cnn_dtype dtype;
        int rank;
        int64_t size;
    } cases[] = {
        {"{" SMALL "}", 3, CNN_INT32, 1, 2},
        {"{" SMALL ", \"color_mode\": \"grayscale\", \"label_mode\": \"binary\"}", 1, CNN_FLOAT32, 2, 1},
        {"{" SMALL ", \"color_mode\": \"rgba\", \"label_mode\": \"categorical\"}", 4, CNN_FLOAT32, 2, 2},
        {"{" SMALL ", \"label_mode\": null}", 3, CNN_FLOAT32, 0, 0}};
    make_cats_and_dogs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_dataset *dataset = opened(cases[i].config);
        cnn_iterator *iterator;
        cnn_element element;
        OVER(dataset, cnn_dataset_batch, input, 2, false);
        OK(cnn_iterator_new(&iterator, dataset, NULL));
        OK(cnn_iterator_next(iterator, &element));
        const cnn_tensor *x = element.parts[0], *y = element.parts[1];
        assert_int_equal(x->dtype, CNN_FLOAT32);
        assert_int_equal(x->rank, 4);
        assert_memory_equal(x->shape, I64(2, 2, 3, cases[i].channels), 4 * sizeof(int64_t));
        assert_int_equal(element.count, cases[i].rank ? 2 : 1);
        if (y) {
            assert_int_equal(y->dtype, cases[i].dtype);
            assert_int_equal(y->rank, cases[i].rank);
            assert_int_equal(y->shape[cases[i].rank - 1], cases[i].size);
        }
        cnn_element_clear(&element);
        cnn_iterator_free(iterator);
        cnn_dataset_release(dataset);
    }
}

static void labels_as_wanted(void **unused) {
    (void)unused;
    make_cats_and_dogs();
    expect_greys("{" PLAIN ", \"label_mode\": \"binary\", \"class_names\": [\"dogs\", \"cats\"]}",
                 "110/0 120/0 130/0 140/0 10/1 20/1 30/1 ");
    expect_greys("{" PLAIN ", \"label_mode\": \"categorical\"}",
                 "10/1/0 20/1/0 30/1/0 110/0/1 120/0/1 130/0/1 140/0/1 ");
    expect_greys("{" PLAIN ", \"class_names\": [\"dogs\"]}", "110/0 120/0 130/0 140/0 ");
    expect_greys("{" PLAIN ", \"labels\": null}", "10 20 30 110 120 130 140 ");
    expect_greys("{" PLAIN ", \"label_mode\": null}", "10 20 30 110 120 130 140 ");
    expect_greys("{" PLAIN ", \"label_mode\": null, \"labels\": [1]}", "10 20 30 110 120 130 140 ");
    expect_greys("{" PLAIN ", \"label_mode\": null, \"labels\": [1]}", "10 20 30 110 120 130 140 ");
    expect_greys("{" PLAIN ", \"labels\": [7, 5, 7, -3, 5, 5, 7]}",
                 "10/7 20/5 30/7 110/-3 120/5 130/5 140/7 ");
    cnn_dataset *dataset = opened("{" PLAIN ", \"labels\": [7, 5, 7, -3, 5, 5, 7]}");
    assert_int_equal(cnn_dataset_class_count(dataset), 3);
    assert_string_equal(cnn_dataset_class_name(dataset, 0), "-3");
    assert_string_equal(cnn_dataset_class_name(dataset, 2), "7");
    cnn_dataset_release(dataset);
}

static void folders_in_folders(void **unused) {
    (void)unused;
    make_root();
    make_dir("b");
    make_dir("b/x");
    make_dir("b/x/y");
    make_dir("b/x-y");
    make_dir("a");
    make_dir("empty");
    make_dir(".hidden");
    make_picture(".hidden/1.png", 1);
    make_picture("b/z.png", 2);
    make_picture("b/x/y/1.png", 5);
    make_picture("b/x/2.png", 3);
    make_picture("b/x-y/0.png", 4);
    make_picture("a/Grüße und 猫.PNG", 6);
    make_picture("a/name with \n line.jpeg", 7);
    make_picture("a/.png", 8);
    make_file("a/readme.txt", "no picture");
    make_file("a/png", "nor this");
    make_file("beside.png", "nor this, beside the folders of classes");
    /* Files of a folder before those in the folders under it; paths in the order of their bytes. */
    expect_greys("{" PLAIN "}", "8/0 6/0 7/0 2/1 3/1 4/1 5/1 ");
    cnn_dataset *dataset = opened("{" PLAIN "}");
    assert_int_equal(cnn_dataset_class_count(dataset), 3); /* an empty one is a class too */
    assert_string_equal(cnn_dataset_class_name(dataset, 2), "empty");
    cnn_dataset_release(dataset);
    char with_slash[80];
    snprintf(with_slash, sizeof with_slash, "%s//", root);
    OK(cnn_dataset_from_directory(&dataset, with_slash, NULL));
    assert_string_equal(cnn_dataset_file(dataset, 3, NULL), in_root("b/z.png"));
    cnn_dataset_release(dataset);
}

static void links(void **unused) {
    (void)unused;
    make_cats_and_dogs();
    assert_int_equal(symlink("a.png", in_root("cats/linked.png")), 0);
    assert_int_equal(symlink(".", in_root("cats/loop")), 0);
    assert_int_equal(symlink("..", in_root("cats/up")), 0);
    assert_int_equal(symlink("itself", in_root("cats/itself")), 0);
    assert_int_equal(symlink("cats", in_root("felines")), 0);
    expect_greys("{" PLAIN ", \"class_names\": [\"cats\", \"felines\"]}",
                 "10/0 20/0 30/0 10/0 10/1 20/1 30/1 10/1 ");
    /* Through up, all of it once; its own folder is not entered again. */
    cnn_dataset *dataset = opened("{" PLAIN ", \"class_names\": [\"cats\"], \"follow_links\": true}");
    assert_int_equal(cnn_dataset_file_count(dataset), 4 + 4);
    assert_string_equal(cnn_dataset_file(dataset, 4, NULL), in_root("cats/up/dogs/0.png"));
    cnn_dataset_release(dataset);
    assert_int_equal(mkfifo(in_root("cats/pipe.png"), 0666), 0); /* reading it would never end */
    dataset = opened("{" PLAIN ", \"class_names\": [\"cats\"]}");
    assert_int_equal(cnn_dataset_file_count(dataset), 4);
    cnn_dataset_release(dataset);
}

/* ---- parts and order --------------------------------------------------------------------------------------- */

static void training_and_validation(void **unused) {
    (void)unused;
    make_cats_and_dogs();
#define PART(which) "\"validation_split\": 0.3, \"subset\": \"" which "\""
    expect_greys("{" PLAIN ", " PART("training") "}", "10/0 20/0 30/0 110/1 120/1 ");
    expect_greys("{" PLAIN ", " PART("validation") "}", "130/1 140/1 ");
    bool other = false;
    for (int seed = 0; seed < 5; seed++) {
        char config[200];
        int total = 0, label;
        bool seen[7] = {false};
        cnn_dataset *all = opened("{" PLAIN "}");
        for (int part = 0; part < 2; part++) {
            snprintf(config, sizeof config, "{" SMALL ", %s, \"seed\": %d}",
                     part ? PART("validation") : PART("training"), seed);
            cnn_dataset *dataset = opened(config);
            assert_int_equal(cnn_dataset_file_count(dataset), part ? 2 : 5);
            assert_int_equal(cnn_dataset_cardinality(dataset), part ? 2 : 5);
            for (int64_t i = 0, j = 0; i < cnn_dataset_file_count(dataset); i++, total++) {
                while (strcmp(cnn_dataset_file(all, j, NULL), cnn_dataset_file(dataset, i, &label)) != 0) j++;
                assert_false(seen[j]);
                seen[j] = true;
                assert_int_equal(label, j >= 3);
                if (part && j < 3) other = true;
            }
            cnn_dataset_release(dataset);
        }
        assert_int_equal(total, 7);
        cnn_dataset_release(all);
    }
    assert_true(other); /* by chance, not the last ones */
}

static void shuffled_by_its_seed(void **unused) {
    (void)unused;
    make_cats_and_dogs();
    cnn_dataset *a = opened("{" SMALL ", \"seed\": 1}"), *b = opened("{" SMALL ", \"seed\": 1}");
    const char *first = greys(a), *second = greys(a);
    assert_string_not_equal(first, second);
    assert_string_equal(greys(b), first);
    assert_string_equal(greys(b), second);
    cnn_dataset_release(a);
    cnn_dataset_release(b);
}

static void keeps_proportions_on_request(void **unused) {
    (void)unused;
    make_root();
    make_dir("c");
    cnn_tensor *image;
    OK(cnn_tensor_full(&image, CNN_UINT8, 3, (int64_t[]){4, 8, 3}, 100));
    OK(cnn_image_save(in_root("c/wide.png"), image, false, 95));
    cnn_tensor_release(image);
    static const char *const configs[] = {"", ", \"crop_to_aspect_ratio\": true",
                                          ", \"pad_to_aspect_ratio\": true"};
    for (int i = 0; i < 3; i++) {
        char config[200];
        cnn_iterator *iterator;
        cnn_element element;
        snprintf(config, sizeof config, "{\"image_size\": [4, 4], \"interpolation\": \"nearest\"%s}",
                 configs[i]);
        cnn_dataset *dataset = opened(config);
        OK(cnn_iterator_new(&iterator, dataset, NULL));
        OK(cnn_iterator_next(iterator, &element));
        assert_int_equal(cnn_tensor_get(element.parts[0], 0), i == 2 ? 0 : 100); /* black above and below */
        assert_int_equal(cnn_tensor_get(element.parts[0], 24), 100);
        cnn_element_clear(&element);
        cnn_iterator_free(iterator);
        cnn_dataset_release(dataset);
    }
}

/* ---- what does not decode ---------------------------------------------------------------------------------- */

static void make_broken(void) {
    size_t size;
    make_cats_and_dogs();
    make_file("cats/empty.png", "");
    make_file("cats/text.jpg", "this is no picture");
    make_picture("cats/whole.jpg", 40);
    uint8_t *bytes = get(in_root("cats/whole.jpg"), &size);
    put(in_root("cats/short.jpg"), bytes, size / 2);
    free(bytes);
    assert_int_equal(symlink("nowhere", in_root("dogs/nowhere.png")), 0);
    cnn_tensor *dot;
    OK(cnn_tensor_full(&dot, CNN_UINT8, 3, (int64_t[]){1, 1, 3}, 200));
    OK(cnn_image_save(in_root("dogs/dot.png"), dot, false, 95));
    cnn_tensor_release(dot);
}

static void left_out_with_one_warning(void **unused) {
    (void)unused;
    make_broken();
    listen();
    cnn_dataset *dataset = opened("{" PLAIN "}");
    assert_int_equal(cnn_dataset_cardinality(dataset), 13);
    const char *first = greys(dataset);
    assert_string_equal(first, "10/0 20/0 30/0 40/0 110/1 120/1 130/1 140/1 200/1 ");
    assert_int_equal(warning_count(), 4);
    assert_non_null(strstr(warnings.bytes, in_root("cats/text.jpg")));
    assert_non_null(strstr(warnings.bytes, in_root("cats/short.jpg")));
    assert_non_null(strstr(warnings.bytes, in_root("cats/empty.png")));
    assert_non_null(strstr(warnings.bytes, in_root("dogs/nowhere.png")));
    assert_non_null(strstr(warnings.bytes, "; left out\n"));
    OVER(dataset, cnn_dataset_repeat, input, 3);
    OVER(dataset, cnn_dataset_batch, input, 4, false); /* smaller where some are left out */
    cnn_iterator *iterator;
    cnn_element element;
    int64_t rows = 0;
    OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.workers = 3}));
    for (;;) {
        OK(cnn_iterator_next(iterator, &element));
        if (element.count == 0) break;
        rows += element.parts[0]->shape[0];
        assert_int_equal(element.parts[0]->shape[0], element.parts[1]->shape[0]);
        assert_int_equal(element.parts[0]->size, element.parts[0]->shape[0] * 18);
        cnn_element_clear(&element);
    }
    assert_int_equal(rows, 27);
    assert_int_equal(warning_count(), 4);
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    cnn_on_warning(NULL, NULL);
}

static void an_error_if_strict(void **unused) {
    (void)unused;
    cnn_iterator *iterator;
    cnn_element element;
    make_broken();
    listen();
    cnn_dataset *dataset = opened("{" PLAIN ", \"strict\": true}");
    OVER(dataset, cnn_dataset_batch, input, 13, false);
    OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.workers = 3}));
    assert_fails(cnn_iterator_next(iterator, &element), CNN_ERROR_FORMAT, in_root("cats/empty.png"));
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    assert_int_equal(warning_count(), 0);
    cnn_on_warning(NULL, NULL);
}

static void what_may_not_be_read(void **unused) {
    (void)unused;
    make_cats_and_dogs();
    if (geteuid() == 0) {
        print_message("root may read everything\n");
        skip();
    }
    assert_int_equal(chmod(in_root("cats/b.png"), 0), 0);
    listen();
    expect_greys("{" PLAIN "}", "10/0 30/0 110/1 120/1 130/1 140/1 ");
    assert_non_null(strstr(warnings.bytes, "Permission denied"));
    cnn_on_warning(NULL, NULL);
    assert_int_equal(chmod(in_root("cats"), 0), 0);
    refused("{}", CNN_ERROR_IO, "Permission denied");
    assert_int_equal(chmod(in_root("cats"), 0777), 0);
}

/* ---- wrong arguments --------------------------------------------------------------------------------------- */

static void arguments_are_checked(void **unused) {
    (void)unused;
    static const struct {
        const char *config, *message;
    } cases[] = {
        {"{\"batch\": 3}", "unknown argument 'batch'"},
        {"{\"label_mode\": \"integer\"}", "'label_mode' must be one of"},
        {"{\"labels\": \"guess\"}", "'labels' must be 'inferred', null or a list"},
        {"{\"labels\": [1, 2]}", "as many 'labels' as pictures, got 2 for 7"},
        {"{\"labels\": [0, 1, 0, 1, 0, 1, 0.5]}",
         "'labels' must be integers, which that of picture 7 is not"},
        {"{\"labels\": [0, 1, 0, 2, 0, 1, 0], \"label_mode\": \"binary\"}", "needs 2 classes, found 3"},
        {"{\"labels\": [0, 1, 0, 9, 0, 1, 0], \"label_mode\": \"categorical\"}",
         "expected labels from 0 to 2"},
        {"{\"labels\": null, \"class_names\": [\"cats\"]}", "'class_names' can only be given for"},
        {"{\"label_mode\": null, \"class_names\": [\"cats\"]}", "'class_names' can only be given for"},
        {"{\"class_names\": [\"cats\", \"birds\"]}", "which 'birds' is not"},
        {"{\"class_names\": [\"cats\", \"cats\"]}", "which 'cats' is not"},
        {"{\"class_names\": [1]}", "must be a list of strings"},
        {"{\"class_names\": \"cats\"}", "must be a list of strings"},
        {"{\"label_mode\": \"binary\", \"class_names\": [\"cats\"]}", "needs 2 classes, found 1"},
        {"{\"color_mode\": \"cmyk\"}", "'color_mode' must be one of"},
        {"{\"image_size\": 0}", "'image_size' must be"},
        {"{\"image_size\": [1, 2, 3]}", "'image_size' must be"},
        {"{\"interpolation\": \"lanczos3\"}", "'interpolation' must be one of"},
        {"{\"data_format\": \"channels_first\"}", "'data_format' must be one of"},
        {"{\"crop_to_aspect_ratio\": true, \"pad_to_aspect_ratio\": true}", "only one of"},
        {"{\"validation_split\": 0.5}", "needs a 'subset'"},
        {"{\"subset\": \"training\"}", "needs a 'validation_split'"},
        {"{\"validation_split\": 1, \"subset\": \"training\"}", "between 0 and 1, got 1"},
        {"{\"validation_split\": 0.5, \"subset\": \"training\"}", "needs a 'seed'"},
        {"{\"validation_split\": 0.1, \"subset\": \"validation\", \"seed\": 1}", "leaves nothing of 7"},
        {"[", "not JSON"}};
    make_cats_and_dogs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].config, CNN_ERROR_ARGUMENT, cases[i].message);
}

static void folders_must_be_there(void **unused) {
    (void)unused;
    cnn_dataset *dataset;
    assert_fails(cnn_dataset_from_directory(&dataset, "/nowhere/at all", NULL), CNN_ERROR_IO,
                 "image_dataset_from_directory: cannot read /nowhere/at all: No such file");
    make_root();
    refused(NULL, CNN_ERROR_ARGUMENT, "expected folders in");
    make_dir("a");
    make_dir("b");
    make_file("a/x.tiff", "of another kind");
    refused(NULL, CNN_ERROR_ARGUMENT,
            "no pictures (.jpg, .jpeg, .png, .bmp, .gif, .pgm, .ppm, .pnm) in 2 folders of");
    refused("{\"labels\": null}", CNN_ERROR_ARGUMENT, "in 1 folder of");
    assert_fails(cnn_dataset_from_directory(&dataset, in_root("a/x.tiff"), NULL), CNN_ERROR_IO,
                 "Not a directory");
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

static atomic_int left;

static bool fail_one(size_t size, void *data) {
    (void)size;
    (void)data;
    return atomic_fetch_sub(&left, 1) == 0;
}

static cnn_status read_all(const char *config) {
    cnn_dataset *dataset = NULL, *batched = NULL;
    cnn_iterator *iterator = NULL;
    cnn_element element = {.count = 1};
    cnn_status status = cnn_dataset_from_directory(&dataset, root, config);
    if (status == CNN_OK) status = cnn_dataset_batch(&batched, dataset, 3, false);
    if (status == CNN_OK)
        status = cnn_iterator_new(&iterator, batched, &(cnn_iterator_options){.workers = 2});
    while (status == CNN_OK && element.count > 0) {
        element = (cnn_element){0};
        status = cnn_iterator_next(iterator, &element);
        int count = element.count;
        cnn_element_clear(&element);
        element.count = count;
    }
    cnn_iterator_free(iterator);
    cnn_dataset_release(batched);
    cnn_dataset_release(dataset);
    return status;
}

static void exhausted_memory_survives(void **unused) {
    (void)unused;
    static const char *const configs[] = {
        "{" SMALL
        ", \"seed\": 1, \"validation_split\": 0.2, \"subset\": \"training\", \"follow_links\": true}",
        "{" PLAIN ", \"labels\": [0, 0, 0, 1, 1, 1, 1], \"label_mode\": \"categorical\"}"};
    make_cats_and_dogs();
    make_dir("cats/more");
    listen();
    for (int i = 0; i < 2; i++) {
        size_t before = cnn_memory_used();
        bool done = false;
        for (int n = 0; !done; n++) {
            left = n;
            cnn_set_alloc_hook(fail_one, NULL);
            cnn_status status = read_all(configs[i]);
            cnn_set_alloc_hook(NULL, NULL);
            if (status != CNN_OK) assert_fails(status, CNN_ERROR_MEMORY, "memory");
            assert_int_equal(cnn_memory_used(), before);
            done = left >= 0;
            if (done) assert_int_equal(status, CNN_OK);
        }
    }
    assert_string_equal(warnings.bytes, ""); /* no picture was blamed for it */
    cnn_on_warning(NULL, NULL);
}

static void many_pictures_in_bounded_memory(void **unused) {
    (void)unused;
    enum { COUNT = 3000, SIDE = 32, BATCH = 16, BATCH_BYTES = BATCH * SIDE * SIDE * 3 * 4 };
    make_root();
    make_dir("c");
    make_picture("c/0.png", 50);
    for (int i = 1; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "c/%d.png", i);
        assert_int_equal(link(in_root("c/0.png"), in_root(name)), 0);
    }
    cnn_dataset *dataset = opened("{\"image_size\": 32}");
    OVER(dataset, cnn_dataset_batch, input, BATCH, false);
    cnn_iterator *iterator;
    cnn_element element;
    size_t before = cnn_memory_used(), most = 0, rows = 0;
    OK(cnn_iterator_new(&iterator, dataset, &(cnn_iterator_options){.workers = 2}));
    for (;;) {
        OK(cnn_iterator_next(iterator, &element));
        if (element.count == 0) break;
        rows += (size_t)element.parts[0]->shape[0];
        if (cnn_memory_used() > most) most = cnn_memory_used();
        cnn_element_clear(&element);
    }
    cnn_iterator_free(iterator);
    cnn_dataset_release(dataset);
    assert_int_equal(rows, COUNT);
    assert_true(most - before < 7 * BATCH_BYTES); /* four in the ring, one taken, and what is read of files */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_and_labels),
        cmocka_unit_test(shapes_and_dtypes),
        cmocka_unit_test(labels_as_wanted),
        cmocka_unit_test(folders_in_folders),
        cmocka_unit_test(links),
        cmocka_unit_test(training_and_validation),
        cmocka_unit_test(shuffled_by_its_seed),
        cmocka_unit_test(keeps_proportions_on_request),
        cmocka_unit_test(left_out_with_one_warning),
        cmocka_unit_test(an_error_if_strict),
        cmocka_unit_test(what_may_not_be_read),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(folders_must_be_there),
        cmocka_unit_test(exhausted_memory_survives),
        cmocka_unit_test(many_pictures_in_bounded_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
