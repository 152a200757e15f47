/* Tensors as text. The expected strings are those of str() in NumPy 1.24. */
#include "tensor_test.h"

#include <stdlib.h>

#define PRINTS(text, ...) expect_text(__VA_ARGS__, text, __LINE__)

static void expect_text(cnn_tensor *t, const char *want, int line) {
    char *got = NULL;
    OK(cnn_tensor_format(&got, t));
    if (strcmp(got, want) != 0) print_error("line %d:\n%s\nis not\n%s\n", line, got, want);
    assert_string_equal(got, want);
    free(got);
    cnn_tensor_release(t);
}

static cnn_tensor *counted(cnn_dtype dtype, int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, rank, shape));
    for (int64_t i = 0; i < t->size; i++) cnn_tensor_set(t, i, (double)i);
    return t;
}

static void scalars_stand_alone(void **state) {
    (void)state;
    PRINTS("0.0", TENSOR(CNN_FLOAT32, SCALAR, 0));
    PRINTS("1.0", TENSOR(CNN_FLOAT32, SCALAR, 1));
    PRINTS("1.5", TENSOR(CNN_FLOAT32, SCALAR, 1.5));
    PRINTS("-0.0", TENSOR(CNN_FLOAT32, SCALAR, -0.0));
    PRINTS("0.1", TENSOR(CNN_FLOAT32, SCALAR, 0.10000000149011612));
    PRINTS("0.33333334", TENSOR(CNN_FLOAT32, SCALAR, 0.3333333432674408));
    PRINTS("1e-04", TENSOR(CNN_FLOAT32, SCALAR, 9.999999747378752e-05));
    PRINTS("9e-05", TENSOR(CNN_FLOAT32, SCALAR, 9.000000136438757e-05));
    PRINTS("123456790.0", TENSOR(CNN_FLOAT32, SCALAR, 123456792));
    PRINTS("1000000000000000.0", TENSOR(CNN_FLOAT32, SCALAR, 999999986991104));
    PRINTS("1e+16", TENSOR(CNN_FLOAT32, SCALAR, 1.0000000272564224e+16));
    PRINTS("-2.5e-07", TENSOR(CNN_FLOAT32, SCALAR, -2.499999993688107e-07));
    PRINTS("3.4028235e+38", TENSOR(CNN_FLOAT32, SCALAR, 3.4028234663852886e+38));
    PRINTS("1e-45", TENSOR(CNN_FLOAT32, SCALAR, 1.401298464324817e-45));
    PRINTS("nan", TENSOR(CNN_FLOAT32, SCALAR, NAN));
    PRINTS("-inf", TENSOR(CNN_FLOAT32, SCALAR, -INFINITY));
    PRINTS("-5", TENSOR(CNN_INT32, SCALAR, -5));
    PRINTS("7", TENSOR(CNN_UINT8, SCALAR, 7));
}

static void floats_show_their_shortest_digits(void **state) {
    (void)state;
    PRINTS("[1. 2. 3.]", TENSOR(CNN_FLOAT32, SHAPE(3), 1, 2, 3));
    PRINTS("[  1.5   -2.25 100.  ]", TENSOR(CNN_FLOAT32, SHAPE(3), 1.5, -2.25, 100));
    PRINTS("[0.1 0.2 0.3]",
           TENSOR(CNN_FLOAT32, SHAPE(3), 0.10000000149011612, 0.20000000298023224, 0.30000001192092896));
    PRINTS("[ 0.33333334  0.6666667  -1.        ]",
           TENSOR(CNN_FLOAT32, SHAPE(3), 0.3333333432674408, 0.6666666865348816, -1));
    PRINTS("[0.5]", TENSOR(CNN_FLOAT32, SHAPE(1), 0.5));
    PRINTS("[-0.  0.]", TENSOR(CNN_FLOAT32, SHAPE(2), -0.0, 0));
    PRINTS("[1.6777216e+07 1.0000000e+00]", TENSOR(CNN_FLOAT32, SHAPE(2), 16777216, 1));
    PRINTS("[99999.99  1234.5 ]", TENSOR(CNN_FLOAT32, SHAPE(2), 99999.9921875, 1234.5));
    PRINTS("[35092232.   5057605.5]", TENSOR(CNN_FLOAT32, SHAPE(2), 35092232, 5057605.5));
    PRINTS("[0.001 0.01 ]", TENSOR(CNN_FLOAT32, SHAPE(2), 0.0010000000474974513, 0.009999999776482582));
    PRINTS("[  0.12345679 100.25      ]", TENSOR(CNN_FLOAT32, SHAPE(2), 0.12345679104328156, 100.25));
    PRINTS("[0.00712346 1.        ]", TENSOR(CNN_FLOAT32, SHAPE(2), 0.0071234568022191525, 1));
}

static void far_apart_floats_take_exponents(void **state) {
    (void)state;
    PRINTS("[1.e+08 1.e+00]", TENSOR(CNN_FLOAT32, SHAPE(2), 100000000, 1));
    PRINTS("[1.e+08 1.e+06]", TENSOR(CNN_FLOAT32, SHAPE(2), 100000000, 1000000));
    PRINTS("[1.e-05 1.e+00]", TENSOR(CNN_FLOAT32, SHAPE(2), 9.999999747378752e-06, 1));
    PRINTS("[1.e-04 2.e-04]", TENSOR(CNN_FLOAT32, SHAPE(2), 9.999999747378752e-05, 0.00019999999494757503));
    PRINTS("[1000.    1.]", TENSOR(CNN_FLOAT32, SHAPE(2), 1000, 1));
    PRINTS("[1.001e+03 1.000e+00]", TENSOR(CNN_FLOAT32, SHAPE(2), 1001, 1));
    PRINTS("[ 1.e+10 -1.e-10  0.e+00]",
           TENSOR(CNN_FLOAT32, SHAPE(3), 10000000000, -1.000000013351432e-10, 0));
    PRINTS("[1.e+38 1.e-38]", TENSOR(CNN_FLOAT32, SHAPE(2), 9.999999680285692e+37, 9.999999350456404e-39));
    PRINTS("[2.5e-07]", TENSOR(CNN_FLOAT32, SHAPE(1), 2.499999993688107e-07));
    PRINTS("[1.0000e-04 9.4114e-05]",
           TENSOR(CNN_FLOAT32, SHAPE(2), 9.999999747378752e-05, 9.411400242242962e-05));
    PRINTS("[1.0000001e+20 3.0000000e+00]", TENSOR(CNN_FLOAT32, SHAPE(2), 1.0000001080018076e+20, 3));
}

static void special_floats_share_the_columns(void **state) {
    (void)state;
    PRINTS("[nan]", TENSOR(CNN_FLOAT32, SHAPE(1), NAN));
    PRINTS("[inf]", TENSOR(CNN_FLOAT32, SHAPE(1), INFINITY));
    PRINTS("[-inf   1.]", TENSOR(CNN_FLOAT32, SHAPE(2), -INFINITY, 1));
    PRINTS("[nan 1.5 inf]", TENSOR(CNN_FLOAT32, SHAPE(3), NAN, 1.5, INFINITY));
    PRINTS("[ nan -inf]", TENSOR(CNN_FLOAT32, SHAPE(2), NAN, -INFINITY));
    PRINTS("[   nan 1.e+10 1.e-05]", TENSOR(CNN_FLOAT32, SHAPE(3), NAN, 10000000000, 9.999999747378752e-06));
    PRINTS("[     inf 1000.125     -inf]", TENSOR(CNN_FLOAT32, SHAPE(3), INFINITY, 1000.125, -INFINITY));
}

static void integers_are_right_aligned(void **state) {
    (void)state;
    PRINTS("[   1   22 -333]", TENSOR(CNN_INT32, SHAPE(3), 1, 22, -333));
    PRINTS("[[  0 255]\n"
           " [  7  10]]",
           TENSOR(CNN_UINT8, SHAPE(2, 2), 0, 255, 7, 10));
    PRINTS("[[[ 0  1  2  3]\n"
           "  [ 4  5  6  7]\n"
           "  [ 8  9 10 11]]\n"
           "\n"
           " [[12 13 14 15]\n"
           "  [16 17 18 19]\n"
           "  [20 21 22 23]]]",
           TENSOR(CNN_INT32, SHAPE(2, 3, 4), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                  19, 20, 21, 22, 23));
    PRINTS("[-2147483648  2147483647]", TENSOR(CNN_INT32, SHAPE(2), -2147483648, 2147483647));
}

static void axes_nest_in_brackets(void **state) {
    (void)state;
    PRINTS("[[0. 1.]\n"
           " [2. 3.]]",
           TENSOR(CNN_FLOAT32, SHAPE(2, 2), 0, 1, 2, 3));
    PRINTS("[[[0.   0.25]\n"
           "  [0.5  0.75]]\n"
           "\n"
           " [[1.   1.25]\n"
           "  [1.5  1.75]]]",
           TENSOR(CNN_FLOAT32, SHAPE(2, 2, 2), 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75));
    PRINTS("[[[[0 1 2]]\n"
           "\n"
           "  [[3 4 5]]]]",
           TENSOR(CNN_INT32, SHAPE(1, 2, 1, 3), 0, 1, 2, 3, 4, 5));
    PRINTS("[[0.]\n"
           " [1.]]",
           TENSOR(CNN_FLOAT32, SHAPE(2, 1), 0, 1));
}

static void long_rows_break_at_75_columns(void **state) {
    (void)state;
    PRINTS("[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
           " 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39]",
           TENSOR(CNN_INT32, SHAPE(40), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                  20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39));
    PRINTS("[[ 1.624 -0.612 -0.528 -1.073  0.865 -2.302  1.745 -0.761  0.319 -0.249\n"
           "   1.462 -2.06  -0.322 -0.384]\n"
           " [ 1.134 -1.1   -0.172 -0.878  0.042  0.583 -1.101  1.145  0.902  0.502\n"
           "   0.901 -0.684 -0.123 -0.936]]",
           TENSOR(CNN_FLOAT32, SHAPE(2, 14), 1.6239999532699585, -0.6119999885559082, -0.527999997138977,
                  -1.0729999542236328, 0.8650000095367432, -2.302000045776367, 1.7450000047683716,
                  -0.7609999775886536, 0.3190000057220459, -0.24899999797344208, 1.4620000123977661,
                  -2.059999942779541, -0.32199999690055847, -0.3840000033378601, 1.1339999437332153,
                  -1.100000023841858, -0.1720000058412552, -0.878000020980835, 0.041999999433755875,
                  0.5830000042915344, -1.1009999513626099, 1.1449999809265137, 0.9020000100135803,
                  0.5019999742507935, 0.9010000228881836, -0.6840000152587891, -0.12300000339746475,
                  -0.9359999895095825));
    PRINTS("[[ 0.   0.5  1.   1.5  2.   2.5  3.   3.5  4.   4.5  5.   5.5  6.   6.5\n"
           "   7.   7.5  8.   8.5  9.   9.5 10.  10.5 11.  11.5 12.  12.5 13.  13.5\n"
           "  14.  14.5]]",
           TENSOR(CNN_FLOAT32, SHAPE(1, 30), 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5,
                  8, 8.5, 9, 9.5, 10, 10.5, 11, 11.5, 12, 12.5, 13, 13.5, 14, 14.5));
    PRINTS("[1.e-06 1.e-06 1.e-06 1.e-06 1.e-06 1.e-06 1.e-06 1.e-06]",
           TENSOR(CNN_FLOAT32, SHAPE(8), 9.999999974752427e-07, 9.999999974752427e-07, 9.999999974752427e-07,
                  9.999999974752427e-07, 9.999999974752427e-07, 9.999999974752427e-07, 9.999999974752427e-07,
                  9.999999974752427e-07));
}

static void large_tensors_show_their_edges(void **state) {
    (void)state;
    PRINTS("[   0    1    2 ...  998  999 1000]", counted(CNN_INT32, SHAPE(1001)));
    PRINTS("[0.000e+00 1.000e+00 2.000e+00 ... 1.997e+03 1.998e+03 1.999e+03]",
           counted(CNN_FLOAT32, SHAPE(2000)));
    PRINTS("[[   0    1    2 ...   97   98   99]\n"
           " [ 100  101  102 ...  197  198  199]\n"
           " [ 200  201  202 ...  297  298  299]\n"
           " ...\n"
           " [9700 9701 9702 ... 9797 9798 9799]\n"
           " [9800 9801 9802 ... 9897 9898 9899]\n"
           " [9900 9901 9902 ... 9997 9998 9999]]",
           counted(CNN_INT32, SHAPE(100, 100)));
    PRINTS("[[[   0    1    2 ...   27   28   29]\n"
           "  [  30   31   32 ...   57   58   59]\n"
           "  [  60   61   62 ...   87   88   89]\n"
           "  [  90   91   92 ...  117  118  119]\n"
           "  [ 120  121  122 ...  147  148  149]\n"
           "  [ 150  151  152 ...  177  178  179]]\n"
           "\n"
           " [[ 180  181  182 ...  207  208  209]\n"
           "  [ 210  211  212 ...  237  238  239]\n"
           "  [ 240  241  242 ...  267  268  269]\n"
           "  [ 270  271  272 ...  297  298  299]\n"
           "  [ 300  301  302 ...  327  328  329]\n"
           "  [ 330  331  332 ...  357  358  359]]\n"
           "\n"
           " [[ 360  361  362 ...  387  388  389]\n"
           "  [ 390  391  392 ...  417  418  419]\n"
           "  [ 420  421  422 ...  447  448  449]\n"
           "  [ 450  451  452 ...  477  478  479]\n"
           "  [ 480  481  482 ...  507  508  509]\n"
           "  [ 510  511  512 ...  537  538  539]]\n"
           "\n"
           " ...\n"
           "\n"
           " [[ 720  721  722 ...  747  748  749]\n"
           "  [ 750  751  752 ...  777  778  779]\n"
           "  [ 780  781  782 ...  807  808  809]\n"
           "  [ 810  811  812 ...  837  838  839]\n"
           "  [ 840  841  842 ...  867  868  869]\n"
           "  [ 870  871  872 ...  897  898  899]]\n"
           "\n"
           " [[ 900  901  902 ...  927  928  929]\n"
           "  [ 930  931  932 ...  957  958  959]\n"
           "  [ 960  961  962 ...  987  988  989]\n"
           "  [ 990  991  992 ... 1017 1018 1019]\n"
           "  [1020 1021 1022 ... 1047 1048 1049]\n"
           "  [1050 1051 1052 ... 1077 1078 1079]]\n"
           "\n"
           " [[1080 1081 1082 ... 1107 1108 1109]\n"
           "  [1110 1111 1112 ... 1137 1138 1139]\n"
           "  [1140 1141 1142 ... 1167 1168 1169]\n"
           "  [1170 1171 1172 ... 1197 1198 1199]\n"
           "  [1200 1201 1202 ... 1227 1228 1229]\n"
           "  [1230 1231 1232 ... 1257 1258 1259]]]",
           counted(CNN_INT32, SHAPE(7, 6, 30)));
    PRINTS("[[[0.000e+00 1.000e+00 2.000e+00 ... 4.980e+02 4.990e+02 5.000e+02]]\n"
           "\n"
           " [[5.010e+02 5.020e+02 5.030e+02 ... 9.990e+02 1.000e+03 1.001e+03]]]",
           counted(CNN_FLOAT32, SHAPE(2, 1, 501)));
}

static void a_thousand_elements_show_all(void **state) {
    (void)state;
    cnn_tensor *t = counted(CNN_INT32, SHAPE(1000));
    char *text = NULL;
    OK(cnn_tensor_format(&text, t));
    assert_null(strstr(text, "..."));
    assert_non_null(strstr(text, " 500 "));
    free(text);
    cnn_tensor_release(t);
}

static void empty_tensors_are_empty_brackets(void **state) {
    (void)state;
    PRINTS("[]", counted(CNN_FLOAT32, SHAPE(0)));
    PRINTS("[]", counted(CNN_INT32, SHAPE(2, 0, 3)));
}

/* The digits that tell a bfloat16 from the next one, not those of the float32 it equals. */
static void bfloat16_shows_its_own_digits(void **state) {
    (void)state;
    PRINTS("[0.1 0.2 1. ]", TENSOR(CNN_BFLOAT16, SHAPE(3), 0.1, 0.2, 1));
    PRINTS("3.14", TENSOR(CNN_BFLOAT16, SCALAR, 3.14159));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_stand_alone),
        cmocka_unit_test(floats_show_their_shortest_digits),
        cmocka_unit_test(far_apart_floats_take_exponents),
        cmocka_unit_test(special_floats_share_the_columns),
        cmocka_unit_test(integers_are_right_aligned),
        cmocka_unit_test(axes_nest_in_brackets),
        cmocka_unit_test(long_rows_break_at_75_columns),
        cmocka_unit_test(large_tensors_show_their_edges),
        cmocka_unit_test(empty_tensors_are_empty_brackets),
        cmocka_unit_test(bfloat16_shows_its_own_digits),
        cmocka_unit_test(a_thousand_elements_show_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
