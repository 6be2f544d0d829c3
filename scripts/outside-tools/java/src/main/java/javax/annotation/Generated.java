package javax.annotation;

/** The mark that openapi-generator puts on its classes; the JDK has it no more. */
public @interface Generated {
    String[] value();

    String date() default "";

    String comments() default "";
}
